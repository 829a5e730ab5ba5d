//! The loop over the mutants, with guests and kernels made up.

use std::path::Path;

use lookback_kernel::SpecError;

use super::{
    header::parse,
    verdict::{Catch, How},
    *,
};

fn mutant(name: &str) -> Mutant {
    let text = "A defect.\n\nScenario: lookup\nCaught-by: leak\n--- a/x\n";
    parse(Path::new(&format!("{name}.patch")), text).unwrap()
}

fn catch(how: How) -> Catch {
    Catch {
        how,
        by: "lookup.file".into(),
        title: "a title".into(),
    }
}

/// What a made-up guest does: leaks, differs, or finds nothing, by its kernel's name.
fn guest(subject: Subject<'_>, load: Load<'_>) -> Result<Ran, Failure> {
    let is_fsstress = matches!(load, Load::Fsstress);
    Ok(match subject.kernel {
        "leaks" => Ran::Judged(vec![catch(How::Difference), catch(How::Leak)], 3),
        "differs" if !is_fsstress => Ran::Judged(vec![catch(How::Difference)], 1),
        "stops" => Ran::NotJudged(5, "this machine can't".into()),
        _ => Ran::Judged(vec![], 0),
    })
}

fn reference() -> Job {
    Job::Reference {
        profile: Profile::Fast,
        scenarios: vec!["lookup".into()],
        seconds: 60,
    }
}

/// Judges these kernels; those whose name is `broken` were not built.
fn judged(run: RunGuest<'_>, jobs: &[Job]) -> Result<Judged, Failure> {
    let (to_guests, kernels) = sync_channel(jobs.len());
    for job in jobs {
        let is_broken = matches!(job, Job::Mutant(mutant) if mutant.name == "broken");
        let error = || KernelError::Series(lookback_kernel::SeriesError::Empty("p".into()));
        let kernel = Kernel {
            job: job.clone(),
            built: if is_broken { Err(error()) } else { Ok(()) },
            build_ms: 1,
        };
        to_guests.send(kernel).unwrap();
    }
    drop(to_guests);
    judge_all(run, kernels)
}

fn rows(names: &[&str]) -> Vec<Row> {
    let mut jobs = vec![reference()];
    jobs.extend(names.iter().map(|name| Job::Mutant(Box::new(mutant(name)))));
    match judged(&guest, &jobs).unwrap() {
        Judged::All { clean, rows } => {
            assert_eq!(clean.len(), 1);
            rows
        }
        Judged::Unclean(code) => panic!("unclean: {code}"),
    }
}

#[test]
fn each_mutant_has_its_fate_whatever_became_of_the_others() {
    let rows = rows(&["leaks", "broken", "differs", "stops", "silent"]);
    let caught = |how, as_expected| Fate::Caught {
        catch: catch(how),
        as_expected,
    };
    assert_eq!(rows[0].fate, caught(How::Leak, true));
    assert_eq!(rows[0].fsstress, Some(catch(How::Leak)));
    assert!(matches!(rows[1].fate, Fate::NotJudged { exit_code: 2, .. }));
    assert_eq!(rows[2].fate, caught(How::Difference, false));
    assert_eq!(rows[2].fsstress, None);
    assert!(matches!(rows[3].fate, Fate::NotJudged { exit_code: 5, .. }));
    assert_eq!(rows[4].fate, Fate::Survived);
}

#[test]
fn an_unclean_kernel_ends_it_before_any_mutant() {
    let jobs = [reference(), Job::Mutant(Box::new(mutant("leaks")))];
    let warns = |_: Subject<'_>, load: Load<'_>| {
        Ok(match load {
            Load::Scenarios(_) => Ran::Judged(vec![], 0),
            Load::Fsstress => Ran::Judged(vec![catch(How::Warning)], 3),
        })
    };
    let judged = judged(&warns, &jobs).unwrap();
    assert!(matches!(judged, Judged::Unclean(3)));
}

#[test]
fn what_is_everybody_s_matter_ends_it() {
    let (to_guests, kernels) = sync_channel(1);
    let error = KernelError::Spec(SpecError::Name("x y".into()));
    let kernel = Kernel {
        job: Job::Mutant(Box::new(mutant("m"))),
        built: Err(error),
        build_ms: 0,
    };
    to_guests.send(kernel).unwrap();
    drop(to_guests);
    assert!(judge_all(&guest, kernels).is_err());
}

#[test]
fn the_kernel_without_a_mutant_comes_first_and_runs_what_all_name() {
    let layout = Layout {
        cache: "/cache".into(),
        guest_kernel: "/guest-kernel".into(),
    };
    let mut slow = mutant("slow");
    slow.seconds = Some(200);
    slow.scenarios = vec![("rename".into(), 1), ("lookup".into(), 2)];
    let mut debug = mutant("debug");
    debug.profile = Profile::Debug;
    let jobs = jobs(&layout, &[mutant("quick"), slow, debug]);
    let names: Vec<&str> = jobs.iter().map(|(_, spec)| spec.name.as_str()).collect();
    assert_eq!(names, ["patched", "patched", "quick", "slow", "debug"]);
    let (
        Job::Reference {
            scenarios, seconds, ..
        },
        spec,
    ) = &jobs[0]
    else {
        panic!("{:?}", jobs[0])
    };
    assert_eq!(
        (scenarios.join(" "), *seconds),
        ("lookup rename".into(), 200)
    );
    assert_eq!(spec.profile, Profile::Fast);
    assert_eq!(jobs[2].1.patches[1], Path::new("quick.patch"));
    assert!(!jobs[2].1.bzimage && jobs[4].1.bzimage);
}
