//! A machine on KVM that boots a kernel directly in long mode.
//!
//! No firmware, no PCI, no ACPI: virtio-mmio devices on the kernel's command
//! line, an MP table, a serial console, the in-kernel interrupt controllers.
//! Guest memory is one memfd, which vhost-user backends map.

pub mod complaints;
pub mod memory;
pub mod virtio;
