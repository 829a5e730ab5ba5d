//! Function names off a stack.

/// Functions of the reporting machinery, of locks and of the scheduler, that
/// stand above the function a report is about.
const MACHINERY: &[&str] = &[
    "__dump_stack",
    "__kernel_text_address",
    "__kmem_cache_shutdown",
    "__list_add_valid_or_report",
    "__list_del_entry_valid_or_report",
    "__might_fault",
    "__might_resched",
    "__might_sleep",
    "__schedule",
    "__schedule_bug",
    "__ubsan_handle_out_of_bounds",
    "__ubsan_handle_shift_out_of_bounds",
    "__warn",
    "assert_schedule",
    "assign_lock_key",
    "check_noncircular",
    "dump_stack",
    "dump_stack_lvl",
    "end_report",
    "io_schedule",
    "lockdep_rcu_suspicious",
    "object_err",
    "_printk",
    "panic",
    "preempt_schedule",
    "print_address_description",
    "print_circular_bug",
    "print_deadlock_bug",
    "print_report",
    "print_unlock_imbalance_bug",
    "print_usage_bug",
    "refcount_warn_saturate",
    "register_lock_class",
    "report_bug",
    "schedule",
    "schedule_preempt_disabled",
    "schedule_timeout",
    "slab_err",
    "slab_pad_check",
    "ubsan_epilogue",
    "validate_chain",
    "vpanic",
    "warn_slowpath_fmt",
];

/// Beginnings of such names.
const FAMILIES: &[&str] = &[
    "__asan_",
    "__kasan_",
    "__lock_acquire",
    "__mutex_lock",
    "__rwsem_",
    "__wait_for_common",
    "_raw_read_",
    "_raw_spin_",
    "_raw_write_",
    "asm_exc_",
    "asm_sysvec_",
    "bit_wait",
    "check_prev",
    "do_raw_spin_",
    "down_",
    "exc_",
    "kasan_",
    "lock_acquire",
    "lock_release",
    "mark_lock",
    "mutex_lock",
    "native_queued_",
    "rwsem_",
    "wait_for_completion",
];

/// True for functions that no report is about.
pub(crate) fn is_machinery(function: &str) -> bool {
    MACHINERY.contains(&function) || FAMILIES.iter().any(|family| function.starts_with(family))
}

/// The function of ` name+0x12/0x34 [module]`, less the compiler's suffixes;
/// `None` for anything else, what the unwinder doubts (`? name+...`) included.
pub(crate) fn frame(text: &str) -> Option<&str> {
    let (name, rest) = text.trim_start().split_once("+0x")?;
    let (offset, rest) = rest.split_once("/0x")?;
    let size = rest.split([' ', '\t']).next()?;
    if !hex(offset) || !hex(size) {
        return None;
    }
    let base = name.split('.').next()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (!base.is_empty() && name.bytes().all(|byte| plain(byte) || byte == b'.')).then_some(base)
}

/// The function of ` ? name+0x12/0x34`: an address found on the stack that the
/// unwinder could not connect.
pub(crate) fn doubtful(text: &str) -> Option<&str> {
    frame(text.trim_start().strip_prefix("? ")?)
}

/// The function of `RIP: 0010:name+0x12/0x34`, a kernel's code segment.
pub(crate) fn instruction_pointer(text: &str) -> Option<&str> {
    frame(text.strip_prefix("RIP: 0010:")?)
}

/// `name` in `... in name+0x12/0x34` or `at: name+0x12/0x34`.
pub(crate) fn named_after<'a>(text: &'a str, word: &str) -> Option<&'a str> {
    let (_, rest) = text.rsplit_once(word)?;
    frame(rest)
}

/// A line of a stack that is no function: `<TASK>`, `</IRQ>`.
pub(crate) fn is_stack_mark(text: &str) -> bool {
    let text = text.trim();
    text.starts_with('<') && text.ends_with('>')
}

fn hex(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    #[rstest]
    #[case(" fuse_lookup+0x12/0x340", Some("fuse_lookup"))]
    #[case(" fuse_lookup+0x12/0x340 [fuse]", Some("fuse_lookup"))]
    #[case(" do_one.constprop.0+0x1/0x2", Some("do_one"))]
    #[case(" do_one.cold+0x1/0x2", Some("do_one"))]
    #[case(" ? fuse_lookup+0x12/0x340", None)]
    #[case(" <TASK>", None)]
    #[case(" 0xffffffffa0001234", None)]
    #[case("R10: 0000000000000000 R11: 1", None)]
    #[case(" +0x1/0x2", None)]
    #[case(" a+0x/0x", None)]
    fn reads_a_frame(#[case] text: &str, #[case] expected: Option<&str>) {
        assert_eq!(frame(text), expected);
    }

    #[rstest]
    #[case("RIP: 0010:ext4_lookup+0x1/0x2", Some("ext4_lookup"))]
    #[case("RIP: 0010:0x0", None)]
    #[case("RIP: 0033:0x7f0000001234", None)]
    fn reads_an_instruction_pointer(#[case] text: &str, #[case] expected: Option<&str>) {
        assert_eq!(instruction_pointer(text), expected);
    }
}
