//! Every command the documentation tells is one that exists.

#![allow(clippy::unwrap_used)]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Targets of the kernel's makefile, of which guest-kernel/README.md tells.
const OF_THE_KERNEL: [&str; 3] = ["mrproper", "olddefconfig", "tinyconfig"];

/// The checkout.
fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .unwrap()
}

/// What a person reads. All of them must be there.
fn pages() -> Vec<PathBuf> {
    let mut pages: Vec<PathBuf> = [
        "README.md",
        "guest-kernel/README.md",
        "guest-kernel/mutants/README.md",
        "images/README.md",
        ".github/workflows/vm-test.yml",
    ]
    .map(|name| root().join(name))
    .into();
    let docs = fs::read_dir(root().join("docs")).unwrap();
    pages.extend(
        docs.map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|extension| extension == "md")),
    );
    pages
}

/// A command line of a page.
struct Told {
    place: String,
    words: Vec<String>,
}

/// The lines of ```sh blocks, the code in running text and a workflow's steps that
/// call `lookback` or `make`.
fn told(page: &Path) -> Vec<Told> {
    let text = fs::read_to_string(page).unwrap_or_else(|error| {
        panic!("{}: {error}", page.display());
    });
    let mut found = Vec::new();
    let mut block: Option<String> = None;
    for (number, line) in text.lines().enumerate() {
        let mut take = |code: &str| {
            let code = code.split(" #").next().unwrap().trim();
            let code = code.strip_prefix("$ ").unwrap_or(code);
            let words: Vec<String> = code.split_whitespace().map(str::to_owned).collect();
            let program = words
                .first()
                .map_or("", |word| word.rsplit('/').next().unwrap());
            // A name alone in running text is no call.
            if words.len() > 1 && ["lookback", "make"].contains(&program) {
                found.push(Told {
                    place: format!("{}:{}: `{code}`", page.display(), number + 1),
                    words,
                });
            }
        };
        if let Some((_, step)) = line.split_once("run: ") {
            // What make is given besides its target is for a shell to take apart.
            let call: Vec<&str> = step.split_whitespace().take(2).collect();
            take(&call.join(" "));
        } else if let Some(language) = line.trim_start().strip_prefix("```") {
            block = match block {
                Some(_) => None,
                None => Some(language.to_owned()),
            };
        } else if block.as_deref() == Some("sh") {
            take(line);
        } else if block.is_none() {
            line.split('`').skip(1).step_by(2).for_each(take);
        }
    }
    found
}

/// What `lookback COMMAND... --help` says; empty if there is no such command.
fn help(command: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_lookback"))
        .args(command)
        .arg("--help")
        .output()
        .unwrap();
    if !output.status.success() {
        return String::new();
    }
    String::from_utf8(output.stdout).unwrap()
}

fn options(help: &str) -> BTreeSet<&str> {
    help.split_whitespace()
        .map(|word| word.trim_end_matches(','))
        .filter(|word| word.starts_with("--"))
        .collect()
}

/// What is wrong with the call, if anything.
fn mistake_of_lookback(words: &[&str]) -> Option<String> {
    let mut command = vec![*words.first()?];
    if command == ["kernel"] {
        command.extend(words.get(1));
    }
    // Running text shows alternatives as `build|list`.
    if command.iter().any(|word| word.contains('|')) {
        return None;
    }
    let help = help(&command);
    if help.is_empty() {
        return Some(format!("there is no command `{}`", command.join(" ")));
    }
    let known = options(&help);
    // What is behind a lone `--` is another command's.
    words
        .iter()
        .take_while(|word| **word != "--")
        .filter(|word| word.starts_with("--"))
        .map(|word| word.split('=').next().unwrap())
        .find(|option| !known.contains(option))
        .map(|option| format!("`{}` has no {option}", command.join(" ")))
}

fn mistake_of_make(words: &[&str]) -> Option<String> {
    if words.iter().all(|word| OF_THE_KERNEL.contains(word)) {
        return None;
    }
    let output = Command::new("make")
        .arg("-n")
        .args(words)
        .current_dir(root())
        .env_remove("MAKEFLAGS")
        .env_remove("MAKELEVEL")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    (!output.status.success()).then_some(said)
}

fn mistake(told: &Told) -> Option<String> {
    let words: Vec<&str> = told.words[1..].iter().map(String::as_str).collect();
    let mistake = if told.words[0].ends_with("make") {
        mistake_of_make(&words)
    } else {
        mistake_of_lookback(&words)
    };
    mistake.map(|mistake| format!("{}: {mistake}", told.place))
}

#[test]
fn every_command_told_exists() {
    let told: Vec<Told> = pages().iter().flat_map(|page| told(page)).collect();
    let readme = root().join("README.md").display().to_string();
    assert!(
        told.iter().any(|told| told.place.starts_with(&readme)),
        "the README tells no command"
    );
    let mistakes: Vec<String> = told.iter().filter_map(mistake).collect();
    assert!(mistakes.is_empty(), "{}", mistakes.join("\n"));
}

/// docs/usage.md leaves nothing out: every command has its heading, with every
/// option and variable below it.
#[test]
fn the_usage_page_is_complete() {
    let page = fs::read_to_string(root().join("docs/usage.md")).unwrap();
    let commands = [
        "run",
        "fsstress",
        "replay",
        "shrink",
        "serve",
        "kernel build",
        "kernel list",
        "kernel series",
        "exec",
        "nested",
        "bench boot",
        "mutants",
        "list",
        "report",
        "doctor",
    ];
    for command in commands {
        assert!(page.contains(&format!("`lookback {command}")), "{command}");
        let help = help(&command.split(' ').collect::<Vec<_>>());
        for option in options(&help) {
            assert!(
                option == "--help" || page.contains(&format!("`{option}")),
                "{command} {option}"
            );
        }
        for variable in help.split("[env: ").skip(1) {
            let name = variable.trim().split('=').next().unwrap();
            assert!(page.contains(&format!("`{name}`")), "{command}: {name}");
        }
    }
    let all = help(&[]);
    let listed = all
        .split("Commands:")
        .nth(1)
        .unwrap()
        .split("Options:")
        .next()
        .unwrap();
    let names = listed
        .lines()
        .filter_map(|line| line.split_whitespace().next());
    for name in names.filter(|name| *name != "help") {
        let known = commands
            .iter()
            .any(|command| command.split(' ').next() == Some(name));
        assert!(
            known,
            "{name} is new: add it to this test and to docs/usage.md"
        );
    }
}

#[test]
fn mistakes_are_seen() {
    let mistake = |line: &str| {
        mistake(&Told {
            place: String::new(),
            words: line.split(' ').map(str::to_owned).collect(),
        })
    };
    assert!(mistake("lookback frobnicate").is_some());
    assert!(mistake("lookback run --frobnicate").is_some());
    assert!(mistake("lookback kernel frobnicate --name x").is_some());
    assert!(mistake("make frobnicate").is_some());
    assert!(mistake("target/release/lookback run --seed=7 lookup").is_none());
    assert!(mistake("make lint").is_none());
}
