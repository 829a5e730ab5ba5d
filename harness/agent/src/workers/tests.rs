use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lookback_ops::{Value, trace};

use super::*;
use crate::exec::Mount;

/// Held while workers run: those of another test would inherit the ends of
/// their pipes, and each would wait for the other's to be closed.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static FORKING: Mutex<()> = Mutex::new(());
    FORKING.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What came of a trace on one arm.
#[derive(Default)]
struct Seen {
    /// Outcomes by worker.
    outcomes: BTreeMap<u16, Vec<Outcome>>,
    /// Paths of the trees, by the number of lines before them.
    trees: BTreeMap<u32, Vec<String>>,
}

type Played = (BTreeMap<Arm, Seen>, Result<Vec<Ran>, (Arm, WorkersError)>);

/// Run a trace on these tracks of arms, each in a fresh directory.
fn play_on(text: &str, tracks: &[&[Arm]], concurrent: bool, every: u32) -> Played {
    let dir = tempfile::tempdir().unwrap();
    let mut seen: BTreeMap<Arm, Seen> = BTreeMap::new();
    let lines = trace::parse(text).unwrap();
    let job = |arm: &Arm| {
        let root = dir.path().join(arm.to_string());
        std::fs::create_dir(&root).unwrap();
        let root = root.to_str().unwrap().to_owned();
        Job {
            arm: *arm,
            lines: &lines,
            bases: Bases {
                arm: root.clone(),
                lower: root.clone(),
                outside: root.clone(),
                root,
                mount: Mount::Local,
            },
            concurrent,
            every,
            clock: None,
        }
    };
    let tracks = tracks.iter().map(|arms| arms.iter().map(job).collect());
    let mut sink = |arm, event| {
        let seen = seen.entry(arm).or_default();
        match event {
            Event::Outcomes {
                worker,
                first,
                outcomes,
            } => {
                let mine = seen.outcomes.entry(worker).or_default();
                assert_eq!(mine.len(), first as usize);
                mine.extend(outcomes);
            }
            Event::Tree { after, piece } => {
                let paths = piece.nodes.into_iter().map(|node| node.path);
                seen.trees.entry(after).or_default().extend(paths);
            }
        }
        Ok(())
    };
    let _alone = alone();
    let ran = run(tracks.collect(), Board::new().unwrap(), &mut sink);
    (seen, ran)
}

fn play(text: &str, concurrent: bool) -> (Seen, Result<Vec<Ran>, (Arm, WorkersError)>) {
    let (mut seen, ran) = play_on(text, &[&[Arm::Ext4]], concurrent, 0);
    (seen.remove(&Arm::Ext4).unwrap_or_default(), ran)
}

fn nobody_died(ran: Result<Vec<Ran>, (Arm, WorkersError)>) -> Vec<Arm> {
    let ran = ran.unwrap();
    assert!(ran.iter().all(|ran| ran.killed.is_empty()), "{ran:?}");
    ran.iter().map(|ran| ran.arm).collect()
}

/// Forks: one test, so that no other thread of the harness holds a lock then.
#[test]
fn traces_run_to_their_end() {
    // Turns: each worker needs what the one before made.
    let text: String = (0..300)
        .map(|i| format!("p{}: creat f{i}\np{}: unlink f{i}\n", i % 3, (i + 1) % 3))
        .collect();
    let (seen, ran) = play(&text, false);
    nobody_died(ran);
    let counts = seen.outcomes.values().map(Vec::len);
    assert_eq!(counts.collect::<Vec<_>>(), [200, 200, 200]);
    let mut outcomes = seen.outcomes.values().flatten();
    assert!(outcomes.all(|o| o.errno == 0));

    // At once, each in its own directory; the umask and slots are each one's own.
    let text = "p0: mkdir a\np1: mkdir b\np0: umask 077\np1: open 1 b rdonly|directory\n\
                p0: creat a/f 0666\np1: creat b/f 0666\np0: stat a/f\np1: stat b/f\np0: fstat 1\np1: fstat 1\n";
    let seen = play(text, true).0.outcomes;
    let mode = |worker: u16| match &seen[&worker][3].value {
        Value::Stat(stat) => stat.mode & 0o777,
        other => panic!("{other:?}"),
    };
    assert_eq!((mode(0), mode(1)), (0o600, 0o644));
    assert_eq!((seen[&0][4].errno, seen[&1][4].errno), (libc::EBADF, 0));

    // Nothing to do is done at once.
    nobody_died(play("", true).1);
    assert!(matches!(
        play("p256: sync", true).1,
        Err((Arm::Ext4, WorkersError::TooMany(256)))
    ));

    // Arms side by side and one after the other, each with turns of its own.
    let text: String = (0..50)
        .map(|i| format!("p{}: creat f{i}\n", i % 4))
        .collect();
    let tracks: [&[Arm]; 2] = [&[Arm::Backed, Arm::Ext4], &[Arm::Plain]];
    let (seen, ran) = play_on(&text, &tracks, false, 20);
    assert_eq!(nobody_died(ran), [Arm::Backed, Arm::Plain, Arm::Ext4]);
    for seen in seen.values() {
        assert_eq!(seen.outcomes.values().flatten().count(), 50);
        // The trees are those between the lines: the root, and what was made.
        let sizes: Vec<_> = seen.trees.iter().map(|(n, it)| (*n, it.len())).collect();
        assert_eq!(sizes, [(20, 21), (40, 41)]);
        assert!(seen.trees[&20].contains(&"f19".to_owned()));
    }

    // One worker takes turns with who walks the tree.
    let (seen, ran) = play_on("mkdir a\nrmdir a\nmkdir b", &[&[Arm::Ext4]], false, 1);
    nobody_died(ran);
    let trees: Vec<_> = seen[&Arm::Ext4]
        .trees
        .values()
        .map(|it| it.join(" "))
        .collect();
    assert_eq!(trees, [" a", "", " b"]);
}
