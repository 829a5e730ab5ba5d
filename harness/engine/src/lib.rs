//! Boots a guest: the Engine trait and QEMU's microvm behind it.
