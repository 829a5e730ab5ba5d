//! Guest memory: one memfd, shared with vhost-user backends.

/// Guest memory as devices see it; a clone is the same memory.
pub type Memory = vm_memory::GuestMemoryMmap<()>;
