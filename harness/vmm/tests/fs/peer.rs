//! A backend that serves nothing and writes down what it is told.

use std::io::{Read, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use tempfile::TempDir;

pub const GET_FEATURES: u32 = 1;
pub const SET_FEATURES: u32 = 2;
pub const SET_OWNER: u32 = 3;
pub const SET_MEM_TABLE: u32 = 5;
pub const SET_VRING_NUM: u32 = 8;
pub const SET_VRING_ADDR: u32 = 9;
pub const GET_VRING_BASE: u32 = 11;
pub const SET_VRING_KICK: u32 = 12;
pub const SET_VRING_CALL: u32 = 13;
pub const GET_PROTOCOL_FEATURES: u32 = 15;
pub const GET_QUEUE_NUM: u32 = 17;
pub const SET_VRING_ENABLE: u32 = 18;

const REPLY: u32 = 1 << 2;

/// How it answers.
#[derive(Clone, Copy, Debug)]
pub struct Answers {
    pub features: u64,
    pub protocol_features: u64,
    pub queues: u64,
    /// To GET_VRING_BASE.
    pub base: u32,
    /// Hangs up instead of answering to this.
    pub hang_up_at: Option<u32>,
    /// Hangs up having answered to this.
    pub hang_up_after: Option<u32>,
}

impl Default for Answers {
    /// VERSION_1 and protocol features; of these MQ alone, so that no request
    /// but a question is acknowledged.
    fn default() -> Self {
        Answers {
            features: 1 << 32 | 1 << 30,
            protocol_features: 1,
            queues: 2,
            base: 0,
            hang_up_at: None,
            hang_up_after: None,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Message {
    pub request: u32,
    pub payload: Vec<u8>,
}

impl Message {
    pub fn u64s(&self) -> Vec<u64> {
        let words = self.payload.chunks_exact(8);
        words
            .map(|word| u64::from_ne_bytes(word.try_into().unwrap()))
            .collect()
    }
}

pub struct Peer {
    dir: TempDir,
    thread: JoinHandle<Vec<Message>>,
}

impl Peer {
    pub fn spawn(answers: Answers) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("s")).unwrap();
        Peer {
            dir,
            thread: thread::spawn(move || serve(&listener, answers)),
        }
    }

    pub fn socket(&self) -> PathBuf {
        self.path().join("s")
    }

    fn path(&self) -> &Path {
        self.dir.path()
    }

    /// All it was told, once the front end is gone.
    pub fn heard(self) -> Vec<Message> {
        self.thread.join().unwrap()
    }
}

fn serve(listener: &UnixListener, answers: Answers) -> Vec<Message> {
    let (mut stream, _) = listener.accept().unwrap();
    let mut heard = Vec::new();
    loop {
        let mut header = [0; 12];
        // Descriptors that come with it are closed by the kernel.
        if stream.read_exact(&mut header).is_err() {
            return heard;
        }
        let [request, _, size] = [0, 4, 8].map(|n| {
            let word = header[n..n + 4].try_into().unwrap();
            u32::from_ne_bytes(word)
        });
        let mut payload = vec![0; usize::try_from(size).unwrap()];
        stream.read_exact(&mut payload).unwrap();
        heard.push(Message {
            request,
            payload: payload.clone(),
        });
        if answers.hang_up_at == Some(request) {
            return heard;
        }
        let answer = match request {
            GET_FEATURES => Some(answers.features.to_ne_bytes()),
            GET_PROTOCOL_FEATURES => Some(answers.protocol_features.to_ne_bytes()),
            GET_QUEUE_NUM => Some(answers.queues.to_ne_bytes()),
            GET_VRING_BASE => {
                payload[4..].copy_from_slice(&answers.base.to_ne_bytes());
                Some(payload.try_into().unwrap())
            }
            _ => None,
        };
        if let Some(answer) = answer {
            let header = [request, 1 | REPLY, 8].map(u32::to_ne_bytes).concat();
            stream.write_all(&[&header[..], &answer].concat()).unwrap();
        }
        if answers.hang_up_after == Some(request) {
            return heard;
        }
    }
}
