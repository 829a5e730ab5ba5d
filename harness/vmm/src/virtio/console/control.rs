//! What the device and the driver tell each other of the port (virtio 1.2,
//! section 5.3.6.2).
//!
//! What is still to be told follows from [`ConsoleState`], so a driver that
//! asks over and over without taking the answers costs nothing.
//!
//! [`ConsoleState`]: crate::virtio::ConsoleState

use crate::virtio::chain::Chain;
use crate::virtio::console::port::Port;
use crate::virtio::drain::{QueueError, Step};

/// Events of `struct virtio_console_control`.
const DEVICE_READY: u16 = 0;
const DEVICE_ADD: u16 = 1;
const PORT_READY: u16 = 3;
const PORT_OPEN: u16 = 6;
const PORT_NAME: u16 = 7;

/// The only port.
const PORT: u32 = 0;
/// Port, event and value.
const LEN: usize = 8;

impl Port {
    /// Takes note of a message from the driver.
    pub fn hear(&mut self, chain: &Chain<'_>) -> Step {
        let mut message = [0; LEN];
        if chain.readable.read(&mut message) < LEN {
            self.complain("the guest sends half a control message");
            return Step::Used(0);
        }
        let [a, b, c, d, e, f, g, h] = message;
        let port = u32::from_le_bytes([a, b, c, d]);
        let event = u16::from_le_bytes([e, f]);
        let yes = u16::from_le_bytes([g, h]) != 0;
        let state = &mut self.state;
        match (event, port) {
            (DEVICE_READY, _) if yes => {
                state.device_ready = true;
                state.told_port = false;
            }
            (DEVICE_READY, _) => self.complain("the guest's driver can't use the device"),
            (PORT_READY, PORT) if yes => {
                state.port_ready = true;
                state.told_name = false;
                state.told_open = None;
            }
            (PORT_READY, PORT) => self.complain("the guest's driver can't use the port"),
            (PORT_OPEN, PORT) => state.guest_open = yes,
            _ => self.complain(&format!(
                "the guest sends control event {event} for port {port}"
            )),
        }
        Step::Used(0)
    }

    /// Whether there is anything to tell.
    pub fn has_news(&self) -> bool {
        self.next().is_some()
    }

    /// Tells the driver the next thing.
    pub fn tell(&mut self, chain: &Chain<'_>) -> Result<Step, QueueError> {
        let Some(event) = self.next() else {
            return Ok(Step::Wait);
        };
        let open = self.stream.open;
        let value = u16::from(event != PORT_OPEN || open);
        let mut message = PORT.to_le_bytes().to_vec();
        message.extend(event.to_le_bytes());
        message.extend(value.to_le_bytes());
        if event == PORT_NAME {
            message.extend(self.name.as_bytes());
        }
        if chain.writable.write(&message) < message.len() {
            return Err(QueueError::request(format!(
                "the guest has no room for a control message of {} bytes",
                message.len()
            )));
        }
        match event {
            DEVICE_ADD => self.state.told_port = true,
            PORT_NAME => self.state.told_name = true,
            _ => self.state.told_open = Some(open),
        }
        // No name is that long.
        Ok(Step::Used(u32::try_from(message.len()).unwrap_or(u32::MAX)))
    }

    fn next(&self) -> Option<u16> {
        let state = &self.state;
        if state.device_ready && !state.told_port {
            Some(DEVICE_ADD)
        } else if state.port_ready && !state.told_name {
            Some(PORT_NAME)
        } else if state.port_ready && state.told_open != Some(self.stream.open) {
            Some(PORT_OPEN)
        } else {
            None
        }
    }
}
