//! Segments of long mode as KVM takes them.

use kvm_bindings::kvm_segment;

/// A code segment: 64-bit, executable and readable.
pub fn code(selector: u16) -> kvm_segment {
    kvm_segment {
        base: 0,
        limit: 0xffff_ffff,
        selector,
        type_: 0xb,
        present: 1,
        s: 1,
        l: 1,
        g: 1,
        ..kvm_segment::default()
    }
}

/// A data segment: readable and writable.
pub fn data(selector: u16) -> kvm_segment {
    kvm_segment {
        type_: 0x3,
        l: 0,
        db: 1,
        ..code(selector)
    }
}

/// A busy task state segment, which long mode can't do without.
pub fn task(selector: u16) -> kvm_segment {
    kvm_segment {
        base: 0,
        limit: 0x67,
        selector,
        type_: 0xb,
        present: 1,
        ..kvm_segment::default()
    }
}
