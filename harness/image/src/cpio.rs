//! A writer of the archive the kernel unpacks into its first root file system: "newc", as in
//! Documentation/driver-api/early-userspace/buffer-format.rst.

use std::io::{self, Write};

const S_IFDIR: u32 = 0o040_000;
const S_IFCHR: u32 = 0o020_000;
const S_IFREG: u32 = 0o100_000;

/// Writes entries with neither times nor owners, so that equal input gives equal bytes.
pub(crate) struct Writer<W> {
    output: W,
    inode: u32,
}

/// What differs between entries.
struct Entry<'a> {
    name: &'a str,
    mode: u32,
    links: u32,
    device: (u32, u32),
    data: &'a [u8],
}

impl<W: Write> Writer<W> {
    pub(crate) fn new(output: W) -> Self {
        Self { output, inode: 0 }
    }

    pub(crate) fn directory(&mut self, name: &str, mode: u32) -> io::Result<()> {
        self.entry(&Entry {
            name,
            mode: S_IFDIR | mode,
            links: 2,
            device: (0, 0),
            data: &[],
        })
    }

    pub(crate) fn character_device(
        &mut self,
        name: &str,
        mode: u32,
        device: (u32, u32),
    ) -> io::Result<()> {
        self.entry(&Entry {
            name,
            mode: S_IFCHR | mode,
            links: 1,
            device,
            data: &[],
        })
    }

    pub(crate) fn file(&mut self, name: &str, mode: u32, data: &[u8]) -> io::Result<()> {
        self.entry(&Entry {
            name,
            mode: S_IFREG | mode,
            links: 1,
            device: (0, 0),
            data,
        })
    }

    /// Writes the last entry and gives the output back.
    pub(crate) fn finish(mut self) -> io::Result<W> {
        self.inode = 0;
        let (name, data) = ("TRAILER!!!", &[]);
        self.header(&Entry {
            name,
            mode: 0,
            links: 1,
            device: (0, 0),
            data,
        })?;
        Ok(self.output)
    }

    fn entry(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        self.inode += 1;
        self.header(entry)?;
        self.output.write_all(entry.data)?;
        self.pad(entry.data.len())
    }

    fn header(&mut self, entry: &Entry<'_>) -> io::Result<()> {
        let number = |length: usize| {
            u32::try_from(length).map_err(|_| {
                io::Error::new(
                    io::ErrorKind::FileTooLarge,
                    "4 GiB are the limit of this archive",
                )
            })
        };
        let name_size = number(entry.name.len() + 1)?;
        let fields = [
            self.inode,
            entry.mode,
            0,
            0,
            entry.links,
            0,
            number(entry.data.len())?,
            0,
            0,
            entry.device.0,
            entry.device.1,
            name_size,
            0,
        ];
        let mut header = String::from("070701");
        for field in fields {
            header.push_str(&format!("{field:08X}"));
        }
        header.push_str(entry.name);
        header.push('\0');
        self.output.write_all(header.as_bytes())?;
        self.pad(header.len())
    }

    /// Fills up to a multiple of four: header with name, and data, each by itself.
    fn pad(&mut self, length: usize) -> io::Result<()> {
        self.output.write_all(&[0; 3][..length.wrapping_neg() % 4])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_data_are_aligned() {
        let mut writer = Writer::new(Vec::new());
        writer.file("abc", 0o644, b"hello").unwrap();
        let bytes = writer.finish().unwrap();
        assert_eq!(bytes.len() % 4, 0);
        assert_eq!(&bytes[..14], b"07070100000001");
        // 110 bytes of header, "abc\0", two bytes of padding.
        assert_eq!(&bytes[116..121], b"hello");
        assert_eq!(&bytes[121..130], b"\0\0\x00070701");
    }
}
