use proptest::prelude::*;
use quick_xml::{Reader, escape::unescape};
use rstest::rstest;

use super::*;
use crate::{
    model::{Console, Fsck},
    testing,
};

/// Name, attributes, text.
type Element = (String, Vec<(String, String)>, String);

/// The elements in document order.
fn parse(xml: &[u8]) -> Vec<Element> {
    let mut reader = Reader::from_reader(xml);
    reader.config_mut().check_end_names = true;
    let mut elements: Vec<Element> = Vec::new();
    let mut open: Vec<usize> = Vec::new();
    loop {
        let event = reader.read_event().unwrap();
        match &event {
            Event::Eof => {
                assert!(open.is_empty());
                return elements;
            }
            Event::Start(tag) | Event::Empty(tag) => {
                let attributes = tag
                    .attributes()
                    .map(|attribute| {
                        let attribute = attribute.unwrap();
                        let key = String::from_utf8(attribute.key.0.to_vec()).unwrap();
                        (key, attribute.unescape_value().unwrap().into_owned())
                    })
                    .collect();
                let name = String::from_utf8(tag.name().0.to_vec()).unwrap();
                elements.push((name, attributes, String::new()));
                if matches!(event, Event::Start(_)) {
                    open.push(elements.len() - 1);
                }
            }
            Event::End(_) => drop(open.pop()),
            Event::Text(text) => {
                if let Some(&index) = open.last() {
                    elements[index].2 += &text.decode().unwrap();
                }
            }
            Event::GeneralRef(reference) => {
                let text = format!("&{};", reference.decode().unwrap());
                elements[*open.last().unwrap()].2 += &unescape(&text).unwrap();
            }
            _ => {}
        }
    }
}

fn attribute<'a>(element: &'a Element, name: &str) -> &'a str {
    &element.1.iter().find(|(key, _)| key == name).unwrap().1
}

#[test]
fn a_failed_run() {
    let xml = render(&testing::failed()).unwrap();
    let elements = parse(&xml);
    let of = |name: &str| elements.iter().filter(|e| e.0 == name).collect::<Vec<_>>();
    let total = of("testsuites")[0];
    assert_eq!(attribute(total, "tests"), "5");
    assert_eq!(attribute(total, "failures"), "1");
    assert_eq!(attribute(total, "errors"), "0");
    assert_eq!(attribute(total, "skipped"), "1");
    let suites: Vec<_> = of("testsuite")
        .iter()
        .map(|suite| attribute(suite, "name"))
        .collect();
    assert_eq!(suites, ["rename", "run"]);
    let failure = of("failure")[0];
    assert_eq!(
        attribute(failure, "type"),
        "rename:errno:EINVAL>0:trace:backed"
    );
    assert!(
        failure.2.ends_with("\nmkdir d 0755\nrename d d/e"),
        "{}",
        failure.2
    );
    assert_eq!(
        of("system-out")[0].2,
        "[[ATTACHMENT|traces/rename.into-itself.trace]]"
    );
    assert_eq!(attribute(of("skipped")[0], "message"), "no");
    let seed = of("property")
        .into_iter()
        .find(|p| attribute(p, "name") == "seed")
        .unwrap();
    assert_eq!(attribute(seed, "value"), "7");
}

#[rstest]
#[case(Status::Crashed)]
#[case(Status::Hung)]
#[case(Status::Failed)]
#[case(Status::NotRun { reason: "the guest was gone".into() })]
fn no_bad_status_is_green(#[case] status: Status) {
    let elements = parse(&render(&testing::run(&[status])).unwrap());
    let total = &elements[0];
    assert_ne!(
        (attribute(total, "failures"), attribute(total, "errors")),
        ("0", "0")
    );
}

#[test]
fn what_concerns_the_whole_run_is_not_green_either() {
    let count = |change: fn(&mut RunResult)| {
        let mut run = testing::run(&[Status::Passed]);
        change(&mut run);
        let elements = parse(&render(&run).unwrap());
        let number = |name| attribute(&elements[0], name).parse::<u32>().unwrap();
        number("failures") + number("errors")
    };
    assert_eq!(count(|_| {}), 0);
    assert_eq!(count(|run| run.cases.clear()), 1);
    assert_eq!(
        count(|run| run.problem = Some(Problem::Environment("x".into()))),
        1
    );
    assert_eq!(
        count(|run| {
            let finding = Finding::new(Kind::Leak, "s", "t");
            run.console.push(Console {
                finding,
                case: None,
                guest: None,
            });
        }),
        1
    );
    assert_eq!(
        count(|run| {
            let status = FsckStatus::Errors;
            run.fsck.push(Fsck {
                image: "lower".into(),
                guest: None,
                status,
                output: "bad\n".into(),
            });
        }),
        1
    );
}

#[test]
fn of_several_guests_each_thing_says_which() {
    let mut run = testing::run(&[Status::Passed]);
    run.guests = 2;
    run.cases[0].guest = Some(2);
    for guest in [1, 2] {
        run.fsck.push(Fsck {
            image: "lower".into(),
            guest: Some(guest),
            status: FsckStatus::Skipped { reason: "x".into() },
            output: String::new(),
        });
        run.console.push(Console {
            finding: Finding::new(Kind::Crash, "s", "t"),
            case: None,
            guest: Some(guest),
        });
    }
    run.finish();
    let elements = parse(&render(&run).unwrap());
    let names: Vec<_> = elements
        .iter()
        .filter(|element| element.0 == "testcase")
        .map(|case| attribute(case, "name"))
        .collect();
    let want = [
        "rename.x",
        "end",
        "console",
        "fsck.lower",
        "fsck.lower.guest-2",
    ];
    assert_eq!(names, want);
    let texts = |name: &str| {
        let of = elements.iter().filter(|element| element.0 == name);
        of.map(|element| element.2.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(texts("system-out"), ["ran in guest 2"]);
    let errors = ["t\non guest 1's console", "t\non guest 2's console"];
    assert_eq!(texts("error"), errors);
    assert_eq!(attribute(&elements[0], "skipped"), "2");
}

proptest! {
    #[test]
    fn any_text_comes_back(
        title in any::<String>(),
        lines in proptest::collection::vec("[\\x00-\\x7f]{0,12}|\\PC{0,4}|[<>&'\"\\]]{0,8}", 1..4),
    ) {
        let mut run = testing::run(&[Status::Passed]);
        let mut finding = Finding::new(Kind::Difference, title.clone(), title.clone());
        finding.text = lines.clone();
        run.cases[0].add(finding);
        run.cases[0].id = title.clone();
        let elements = parse(&render(&run).unwrap());
        let failure = elements.iter().find(|element| element.0 == "failure").unwrap();
        let expected = [vec![title.clone()], lines].concat().join("\n");
        prop_assert_eq!(&failure.2, &xml::clean(&expected));
        prop_assert_eq!(attribute(failure, "message"), xml::attribute(&title));
        let case = elements.iter().find(|element| element.0 == "testcase").unwrap();
        prop_assert_eq!(attribute(case, "name"), xml::attribute(&title));
    }
}
