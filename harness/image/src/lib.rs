//! The guest's initramfs and ext4 images.
