//! The command line of a microvm.

use std::ffi::{OsStr, OsString};
use std::os::fd::RawFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;

use super::tsc;
use crate::error::Error;
use crate::spec::GuestSpec;

/// virtio-mmio transports of a microvm without a second IOAPIC.
const TRANSPORTS: usize = 8;

/// How QEMU executes guest code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Accel {
    /// Translation: everywhere, slow.
    Tcg,
    /// Translation of a CPU with SVM: the guest is a host itself, with AMD's KVM
    /// and nested paging.
    TcgSvm,
}

/// Numbers of the sockets QEMU inherits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Descriptors {
    pub(super) console: RawFd,
    pub(super) control: RawFd,
    pub(super) monitor: RawFd,
}

/// QEMU's arguments for `spec`.
pub(super) fn arguments(
    spec: &GuestSpec,
    accel: Accel,
    descriptors: Descriptors,
) -> Result<Vec<OsString>, Error> {
    let devices = 1 + spec.disks.len() + spec.shares.len();
    if devices > TRANSPORTS {
        return Err(Error::Spec(format!(
            "it has {devices} virtio devices (disks, shares and the control port), \
             QEMU's microvm takes {TRANSPORTS}"
        )));
    }
    let mut args = Arguments(Vec::new());
    machine(&mut args, spec, accel);
    serial(&mut args, spec, descriptors);
    for (index, disk) in spec.disks.iter().enumerate() {
        let readonly = if disk.readonly { "on" } else { "off" };
        // The image serves one run and is checked after it: a flush would guard
        // only against a crash of the host. QEMU's own lock on it stays, so that
        // two guests never share one.
        args.with_path(
            "-blockdev",
            &format!(
                "driver=raw,node-name=disk{index},read-only={readonly},auto-read-only=off,\
                 cache.no-flush=on,file.driver=file,file.filename="
            ),
            &disk.path,
        );
        args.pair(
            "-device",
            &format!(
                "virtio-blk-device,drive=disk{index},serial={}",
                comma(&disk.serial)
            ),
        );
    }
    for (index, share) in spec.shares.iter().enumerate() {
        args.with_path(
            "-chardev",
            &format!("socket,id=share{index},path="),
            &share.socket,
        );
        args.pair(
            "-device",
            &format!(
                "vhost-user-fs-device,chardev=share{index},tag={}",
                comma(&share.tag)
            ),
        );
    }
    Ok(args.0)
}

fn machine(args: &mut Arguments, spec: &GuestSpec, accel: Accel) {
    // pit and pic: under TCG the kernel calibrates against the PIT. rtc: the
    // guest's files get the host's date.
    args.pair(
        "-M",
        "microvm,acpi=off,memory-backend=mem,pit=on,pic=on,rtc=on,isa-serial=on",
    );
    let (translator, cpu) = match accel {
        Accel::Tcg => ("tcg,thread=multi", "max"),
        // QEMU (7.2) does not let an XSETBV in a nested guest exit to KVM, which
        // then knows another XCR0 than is in force: sizes that CPUID tells are
        // wrong, and AVX may be off for who was told that it is on.
        Accel::TcgSvm => ("tcg,thread=multi", "max,+svm,-xsave"),
    };
    args.pair("-accel", translator);
    args.pair("-cpu", cpu);
    let size = format!("{}M", spec.memory_mib);
    args.pair("-m", &size);
    // vhost-user backends map the guest's memory: it must be a shared file.
    args.pair(
        "-object",
        &format!("memory-backend-memfd,id=mem,size={size},share=on"),
    );
    args.pair("-smp", &spec.cpus.to_string());
    for flag in ["-nodefaults", "-no-user-config", "-no-reboot"] {
        args.0.push(flag.into());
    }
    args.pair("-display", "none");
    // vhost-user-fs exists only as a virtio 1 device.
    args.pair("-global", "virtio-mmio.force-legacy=false");
    args.pair("-kernel", spec.kernel.as_os_str());
    args.pair("-initrd", spec.initramfs.as_os_str());
    args.pair("-append", &cmdline(spec, accel));
}

/// The kernel's command line. QEMU adds `virtio_mmio.device=` for each device.
fn cmdline(spec: &GuestSpec, accel: Accel) -> String {
    // reboot=t: microvm has no power-off; a triple fault under -no-reboot ends
    // QEMU. panic=-1 takes that way at once, oops=panic keeps a damaged kernel
    // from going on. printk.time=1 tells the kernel's lines from a program's, and
    // printk.devkmsg=on drops none that a program has it log.
    let mut line = "console=ttyS0 reboot=t panic=-1 oops=panic loglevel=7 printk.time=1 \
                    printk.devkmsg=on"
        .to_owned();
    // Calibration, the clocksource watchdog and the timer's check compare clocks
    // that a loaded host stops at different times.
    line.push_str(&format!(
        " tsc_early_khz={} tsc=reliable no_timer_check",
        tsc::khz()
    ));
    if accel == Accel::TcgSvm {
        // At each exit of a nested guest QEMU (7.2, do_vmexit()) clears a bit of
        // `interrupt_request` without its lock, and so may clear one that another
        // thread sets. A timer that is set anew at each interrupt never comes
        // back; a periodic one brings along what else was lost.
        line.push_str(" nohz=off highres=off");
    }
    let extra = spec.cmdline.trim();
    if !extra.is_empty() {
        line.push(' ');
        line.push_str(extra);
    }
    line
}

fn serial(args: &mut Arguments, spec: &GuestSpec, descriptors: Descriptors) {
    let Descriptors {
        console,
        control,
        monitor,
    } = descriptors;
    args.pair("-chardev", &format!("socket,id=console,fd={console}"));
    args.pair("-serial", "chardev:console");
    args.pair("-chardev", &format!("socket,id=monitor,fd={monitor}"));
    args.pair("-mon", "chardev=monitor,mode=control");
    args.pair("-chardev", &format!("socket,id=control,fd={control}"));
    args.pair("-device", "virtio-serial-device,max_ports=2");
    args.pair(
        "-device",
        &format!(
            "virtserialport,chardev=control,name={}",
            comma(&spec.control_port)
        ),
    );
}

struct Arguments(Vec<OsString>);

impl Arguments {
    fn pair(&mut self, option: &str, value: &(impl AsRef<OsStr> + ?Sized)) {
        self.0.push(option.into());
        self.0.push(value.as_ref().to_owned());
    }

    /// A value that ends with a path, whose commas QEMU wants doubled.
    fn with_path(&mut self, option: &str, value: &str, path: &Path) {
        let mut bytes = value.as_bytes().to_vec();
        for byte in path.as_os_str().as_bytes() {
            bytes.push(*byte);
            if *byte == b',' {
                bytes.push(b',');
            }
        }
        self.0.push(option.into());
        self.0.push(OsString::from_vec(bytes));
    }
}

fn comma(text: &str) -> String {
    text.replace(',', ",,")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::{Disk, Share};
    use rstest::rstest;

    const FDS: Descriptors = Descriptors {
        console: 11,
        control: 12,
        monitor: 13,
    };

    fn spec() -> GuestSpec {
        GuestSpec {
            kernel: "/k/bzImage".into(),
            initramfs: "/k/a,b.cpio".into(),
            cmdline: " nokaslr quiet ".into(),
            memory_mib: 640,
            cpus: 3,
            disks: vec![Disk {
                path: "/d/a,b.img".into(),
                serial: "lower".into(),
                readonly: true,
            }],
            shares: vec![Share {
                tag: "backed".into(),
                socket: "/s/b.sock".into(),
            }],
            ..GuestSpec::default()
        }
    }

    /// The values of `option`, in order.
    fn values(spec: &GuestSpec, accel: Accel, option: &str) -> Vec<String> {
        let args = arguments(spec, accel, FDS).unwrap();
        args.windows(2)
            .filter(|pair| pair[0] == option)
            .map(|pair| pair[1].to_str().unwrap().to_owned())
            .collect()
    }

    #[rstest]
    #[case("-kernel", &["/k/bzImage"])]
    #[case::a_plain_path_keeps_its_comma("-initrd", &["/k/a,b.cpio"])]
    #[case("-smp", &["3"])]
    #[case("-object", &["memory-backend-memfd,id=mem,size=640M,share=on"])]
    #[case("-m", &["640M"])]
    #[case("-serial", &["chardev:console"])]
    #[case("-blockdev", &["driver=raw,node-name=disk0,read-only=on,auto-read-only=off,\
        cache.no-flush=on,file.driver=file,file.filename=/d/a,,b.img"])]
    #[case("-chardev", &["socket,id=console,fd=11", "socket,id=monitor,fd=13",
        "socket,id=control,fd=12", "socket,id=share0,path=/s/b.sock"])]
    #[case("-device", &["virtio-serial-device,max_ports=2",
        "virtserialport,chardev=control,name=lookback.control",
        "virtio-blk-device,drive=disk0,serial=lower",
        "vhost-user-fs-device,chardev=share0,tag=backed"])]
    fn builds(#[case] option: &str, #[case] expected: &[&str]) {
        assert_eq!(values(&spec(), Accel::Tcg, option), expected);
    }

    #[rstest]
    #[case(Accel::Tcg, "tcg,thread=multi", "max")]
    #[case(Accel::TcgSvm, "tcg,thread=multi", "max,+svm,-xsave")]
    fn accelerates(#[case] accel: Accel, #[case] name: &str, #[case] cpu: &str) {
        assert_eq!(values(&spec(), accel, "-accel"), [name]);
        assert_eq!(values(&spec(), accel, "-cpu"), [cpu]);
    }

    #[rstest]
    #[case(Accel::Tcg, false)]
    #[case(Accel::TcgSvm, true)]
    fn only_a_host_s_timers_are_periodic(#[case] accel: Accel, #[case] periodic: bool) {
        let line = &values(&spec(), accel, "-append")[0];
        assert_eq!(line.contains(" nohz=off highres=off "), periodic, "{line}");
    }

    #[rstest]
    #[case(Accel::Tcg)]
    #[case(Accel::TcgSvm)]
    fn tells_the_kernel_what_it_may_not_find_out(#[case] accel: Accel) {
        let line = &values(&spec(), accel, "-append")[0];
        assert!(line.starts_with(
            "console=ttyS0 reboot=t panic=-1 oops=panic loglevel=7 printk.time=1 \
                 printk.devkmsg=on "
        ));
        assert!(
            line.ends_with(" nokaslr quiet"),
            "what is asked for comes last"
        );
        let khz = format!(" tsc_early_khz={} ", tsc::khz());
        assert!(line.contains(&khz), "{line}");
        assert!(line.contains(" no_timer_check "), "{line}");
    }

    #[rstest]
    #[case(6, true)]
    #[case(7, false)]
    fn counts_the_transports(#[case] disks: usize, #[case] fits: bool) {
        let mut spec = spec();
        spec.disks = vec![spec.disks[0].clone(); disks];
        assert_eq!(arguments(&spec, Accel::Tcg, FDS).is_ok(), fits);
    }
}
