//! Boots a kernel and an initramfs, copies the console to standard output and
//! tells the times: `boot KERNEL INITRAMFS ENGINE [cpus:N | disk:SERIAL:FILE |
//! share:TAG:SOCKET | KERNEL-PARAMETER]...`, ENGINE being auto, kvm or qemu.

use std::error::Error;
use std::io::Write;
use std::time::{Duration, Instant};

use lookback_engine::{Disk, GuestSpec, Request, Share, choose};

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(kernel), Some(initramfs)) = (args.next(), args.next()) else {
        return Err("usage: boot KERNEL INITRAMFS auto|kvm|qemu [PARAMETER]...".into());
    };
    let request = match args.next().as_deref() {
        None | Some("auto") => Request::Auto,
        Some("kvm") => Request::Kvm,
        Some("qemu") => Request::Qemu,
        Some(other) => return Err(format!("unknown engine {other}").into()),
    };
    let choice = choose(request, None)?;
    eprintln!("{}", choice.why);
    let run_dir = std::env::temp_dir().join(format!("boot-{}", std::process::id()));
    std::fs::create_dir(&run_dir)?;
    let mut spec = GuestSpec {
        kernel: kernel.into(),
        initramfs: initramfs.into(),
        run_dir: run_dir.clone(),
        ..GuestSpec::default()
    };
    for arg in args {
        match arg.splitn(3, ':').collect::<Vec<_>>()[..] {
            ["disk", serial, path] => {
                spec.disks.push(Disk {
                    path: path.into(),
                    serial: serial.into(),
                    readonly: false,
                });
            }
            ["share", tag, socket] => {
                spec.shares.push(Share {
                    tag: tag.into(),
                    socket: socket.into(),
                });
            }
            ["cpus", count] => spec.cpus = count.parse()?,
            _ => spec.cmdline = format!("{} {arg}", spec.cmdline),
        }
    }
    let start = Instant::now();
    let mut guest = choice.engine.boot(&spec)?;
    eprintln!("machine runs after {:.3} s", start.elapsed().as_secs_f64());
    let mut first = true;
    let mut out = std::io::stdout();
    for chunk in guest.console().into_iter().flatten() {
        if std::mem::take(&mut first) {
            eprintln!(
                "first console byte after {:.3} s",
                start.elapsed().as_secs_f64()
            );
        }
        out.write_all(&chunk)?;
        out.flush()?;
    }
    let exit = guest.wait(Instant::now() + Duration::from_secs(10))?;
    eprintln!(
        "{exit:?} after {:.3} s; logs in {}",
        start.elapsed().as_secs_f64(),
        run_dir.display()
    );
    Ok(())
}
