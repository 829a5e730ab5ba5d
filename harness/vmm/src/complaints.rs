//! What a machine has to say beside the guest's console.

use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};

/// Lines that are kept. What follows is the same complaint again: a guest that
/// misbehaves does so in a loop, and must not fill the host's memory.
const MOST: usize = 100;

/// Complaints about a guest and about the devices that serve it: a broken
/// virtqueue, a full disk of the host. A clone is the same list.
#[derive(Clone, Debug, Default)]
pub struct Complaints {
    lines: Arc<Mutex<Vec<String>>>,
}

impl Complaints {
    /// Adds a line, which is logged too. After a hundred of them one line says
    /// that more were dropped, and no more are logged.
    pub fn push(&self, complaint: impl Display) {
        // A thread that panicked while it held the lock left whole lines.
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        match lines.len() {
            0..MOST => {
                let line = complaint.to_string();
                tracing::warn!("{line}");
                lines.push(line);
            }
            MOST => lines.push("more complaints were dropped".to_owned()),
            _ => {}
        }
    }

    /// The lines so far, joined by newlines; empty if there are none.
    pub fn text(&self) -> String {
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .join("\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_lines_in_order_for_every_clone() {
        let complaints = Complaints::default();
        assert_eq!(complaints.text(), "");
        complaints.clone().push("one");
        complaints.push(2);
        assert_eq!(complaints.text(), "one\n2");
    }

    #[test]
    fn a_guest_in_a_loop_fills_a_hundred_lines_and_one() {
        let complaints = Complaints::default();
        for i in 0..10_000 {
            complaints.push(i);
        }
        let text = complaints.text();
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 101);
        assert_eq!(lines[99], "99");
        assert_eq!(lines[100], "more complaints were dropped");
    }
}
