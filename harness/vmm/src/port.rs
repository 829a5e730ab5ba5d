//! Devices on I/O ports: a serial console and the reset line.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;
use std::sync::mpsc::Sender;

use vm_device::MutDevicePio;
use vm_device::bus::{PioAddress, PioAddressOffset};
use vm_superio::serial::NoEvents;
use vm_superio::{I8042Device, Serial, Trigger};
use vmm_sys_util::eventfd::EventFd;

use crate::complaints::Complaints;
use crate::machine::Event;

/// Ports of a 16550.
pub(crate) const SERIAL_PORTS: u16 = 8;
/// Data at the first, commands at the fifth.
pub(crate) const I8042_PORTS: u16 = 5;

/// An interrupt line on an eventfd.
#[derive(Debug)]
pub(crate) struct Line(pub(crate) EventFd);

impl Trigger for Line {
    type E = io::Error;

    fn trigger(&self) -> io::Result<()> {
        self.0.write(1)
    }
}

/// The console: what the guest writes goes to a stream, and nothing comes back.
pub(crate) struct SerialPort {
    serial: Serial<Line, NoEvents, UnixStream>,
    complaints: Complaints,
}

impl SerialPort {
    pub(crate) fn new(line: EventFd, out: UnixStream, complaints: Complaints) -> Self {
        SerialPort {
            serial: Serial::new(Line(line), out),
            complaints,
        }
    }

    /// What a snapshot keeps of it.
    pub(crate) fn state(&self) -> vm_superio::SerialState {
        self.serial.state()
    }

    /// The console of a restored guest.
    pub(crate) fn restored(
        state: &vm_superio::SerialState,
        line: EventFd,
        out: UnixStream,
        complaints: Complaints,
    ) -> Result<Self, String> {
        let serial = Serial::from_state(state, Line(line), NoEvents, out)
            .map_err(|error| format!("{error:?}"))?;
        Ok(SerialPort { serial, complaints })
    }
}

impl MutDevicePio for SerialPort {
    fn pio_read(&mut self, _: PioAddress, offset: PioAddressOffset, data: &mut [u8]) {
        data.fill(0xff);
        if let (Ok(offset), [byte]) = (u8::try_from(offset), data) {
            *byte = self.serial.read(offset);
        }
    }

    fn pio_write(&mut self, _: PioAddress, offset: PioAddressOffset, data: &[u8]) {
        if let (Ok(offset), [byte]) = (u8::try_from(offset), data)
            && let Err(error) = self.serial.write(offset, *byte)
        {
            self.complaints
                .push(format_args!("serial console: {error:?}"));
        }
    }
}

impl Drop for SerialPort {
    fn drop(&mut self) {
        let _ = self.serial.writer_mut().flush();
    }
}

/// The keyboard controller, of which a guest uses only the reset line.
pub(crate) struct ResetPort(I8042Device<ResetLine>);

struct ResetLine(Sender<Event>);

impl Trigger for ResetLine {
    type E = io::Error;

    fn trigger(&self) -> io::Result<()> {
        self.0
            .send(Event::Reset)
            .map_err(|_| io::ErrorKind::BrokenPipe.into())
    }
}

impl ResetPort {
    pub(crate) fn new(reports: Sender<Event>) -> Self {
        ResetPort(I8042Device::new(ResetLine(reports)))
    }
}

impl MutDevicePio for ResetPort {
    fn pio_read(&mut self, _: PioAddress, offset: PioAddressOffset, data: &mut [u8]) {
        data.fill(0xff);
        if let (Ok(offset), [byte]) = (u8::try_from(offset), data) {
            *byte = self.0.read(offset);
        }
    }

    fn pio_write(&mut self, _: PioAddress, offset: PioAddressOffset, data: &[u8]) {
        if let (Ok(offset), [byte]) = (u8::try_from(offset), data) {
            // A machine that is gone has been reset already.
            let _ = self.0.write(offset, *byte);
        }
    }
}
