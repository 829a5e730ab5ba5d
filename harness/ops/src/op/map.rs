//! Operations on mappings kept across operations.

use serde::{Deserialize, Serialize};

/// An operation on a mapping (MAP_SHARED). Each worker numbers its own, apart
/// from slots. `off` is counted in bytes from the start of the mapping.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // the field names are those of the system calls
pub enum MapOp {
    /// mmap(2) of a slot's file from `off` on, to store to or only to load
    /// from. It outlives the slot; what the number stood for is unmapped first.
    Map {
        map: u16,
        slot: u16,
        off: u64,
        len: u32,
        read_only: bool,
    },
    /// Store, of a page that holds the file's end the part before it. A page
    /// behind that is SIGBUS, and nothing is stored.
    Store {
        map: u16,
        off: u32,
        len: u32,
        seed: u64,
    },
    /// Load, within the same bounds.
    Load { map: u16, off: u32, len: u32 },
    /// msync(2) of the whole with MS_SYNC.
    Sync { map: u16 },
    /// munmap(2)
    Unmap { map: u16 },
}
