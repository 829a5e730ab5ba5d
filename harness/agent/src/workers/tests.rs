use std::sync::{Mutex, MutexGuard, PoisonError};

use lookback_ops::trace;

use super::*;

/// Held while workers run: those of another test would inherit the ends of
/// their pipes, and each would wait for the other's to be closed.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static FORKING: Mutex<()> = Mutex::new(());
    FORKING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Run a trace in a fresh directory: outcomes by worker, and how it went.
fn play(text: &str, concurrent: bool) -> (BTreeMap<u16, Vec<Outcome>>, Result<Ran, WorkersError>) {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().to_str().unwrap().to_owned();
    let bases = Bases {
        arm: root.clone(),
        lower: root.clone(),
        outside: root.clone(),
        root,
        mount: crate::exec::Mount::Local,
    };
    let mut seen: BTreeMap<u16, Vec<Outcome>> = BTreeMap::new();
    let lines = trace::parse(text).unwrap();
    let mut sink = |worker, first: u32, outcomes: Vec<Outcome>| {
        let mine = seen.entry(worker).or_default();
        assert_eq!(mine.len(), first as usize);
        mine.extend(outcomes);
        Ok(())
    };
    let _alone = alone();
    let ran = run(&lines, concurrent, &bases, Board::new().unwrap(), &mut sink);
    (seen, ran)
}

/// Forks: one test, so that no other thread of the harness holds a lock then.
#[test]
fn traces_run_to_their_end() {
    // Turns: each worker needs what the one before made.
    let text: String = (0..300)
        .map(|i| format!("p{}: creat f{i}\np{}: unlink f{i}\n", i % 3, (i + 1) % 3))
        .collect();
    let (seen, ran) = play(&text, false);
    assert!(ran.unwrap().killed.is_empty());
    assert_eq!(
        seen.values().map(Vec::len).collect::<Vec<_>>(),
        [200, 200, 200]
    );
    assert!(seen.values().flatten().all(|o| o.errno == 0), "{seen:?}");

    // At once, each in its own directory; the umask and slots are each one's own.
    let text = "p0: mkdir a\np1: mkdir b\np0: umask 077\np1: open 1 b rdonly|directory\n\
                p0: creat a/f 0666\np1: creat b/f 0666\np0: stat a/f\np1: stat b/f\np0: fstat 1\np1: fstat 1\n";
    let (seen, _) = play(text, true);
    let mode = |worker: u16| match &seen[&worker][3].value {
        Value::Stat(stat) => stat.mode & 0o777,
        other => panic!("{other:?}"),
    };
    assert_eq!((mode(0), mode(1)), (0o600, 0o644));
    assert_eq!((seen[&0][4].errno, seen[&1][4].errno), (libc::EBADF, 0));

    // Nothing to do is done at once.
    assert!(play("", true).1.unwrap().killed.is_empty());
    assert!(matches!(
        play("p256: sync", true).1,
        Err(WorkersError::TooMany(256))
    ));
}
