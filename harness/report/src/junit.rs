//! JUnit XML, as CI systems read it.
//!
//! One testsuite a scenario, one testcase a case. What concerns the run as a
//! whole (boot, console, e2fsck) is a testsuite of its own, `run`, so that a
//! crash between two cases is no green file.

use std::io;

use quick_xml::{
    Writer,
    events::{BytesDecl, BytesText, Event},
};

use crate::{
    model::{CaseResult, Finding, FsckStatus, Kind, Problem, RunResult, Status},
    xml,
};

/// What a testcase says.
enum Said {
    Failure(Finding),
    Error(Finding),
    Skipped(String),
}

struct Testcase {
    name: String,
    seconds: String,
    said: Vec<Said>,
    out: Vec<String>,
}

struct Testsuite {
    name: String,
    cases: Vec<Testcase>,
}

impl Testsuite {
    fn count(&self, is: impl Fn(&Testcase) -> bool) -> usize {
        self.cases.iter().filter(|case| is(case)).count()
    }
}

fn failed(case: &Testcase) -> bool {
    !broken(case)
        && case
            .said
            .iter()
            .any(|said| matches!(said, Said::Failure(_)))
}

fn broken(case: &Testcase) -> bool {
    case.said.iter().any(|said| matches!(said, Said::Error(_)))
}

fn skipped(case: &Testcase) -> bool {
    case.said
        .iter()
        .any(|said| matches!(said, Said::Skipped(_)))
}

/// The run as JUnit XML.
///
/// # Errors
/// None but the writer's, which writes into memory.
pub fn render(run: &RunResult) -> io::Result<Vec<u8>> {
    let mut suites: Vec<Testsuite> = run
        .scenarios()
        .into_iter()
        .map(|name| Testsuite {
            name: name.to_owned(),
            cases: run
                .cases
                .iter()
                .filter(|c| c.scenario == name)
                .map(testcase)
                .collect(),
        })
        .collect();
    suites.push(Testsuite {
        name: "run".to_owned(),
        cases: whole_run(run),
    });

    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let sum = |is: fn(&Testcase) -> bool| {
        suites
            .iter()
            .map(|suite| suite.count(is))
            .sum::<usize>()
            .to_string()
    };
    let total = [
        ("name", "lookback".to_owned()),
        ("tests", sum(|_| true)),
        ("failures", sum(failed)),
        ("errors", sum(broken)),
        ("skipped", sum(skipped)),
        (
            "time",
            format!("{}.{:03}", run.total_ms / 1000, run.total_ms % 1000),
        ),
    ];
    writer
        .create_element("testsuites")
        .with_attributes(borrow(&total))
        .write_inner_content(|writer| {
            suites
                .iter()
                .try_for_each(|suite| testsuite(writer, run, suite))
        })?;
    let mut text = writer.into_inner();
    text.push(b'\n');
    Ok(text)
}

fn borrow<'a>(attributes: &'a [(&'a str, String)]) -> impl Iterator<Item = (&'a str, &'a str)> {
    attributes
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
}

fn testsuite(writer: &mut Writer<Vec<u8>>, run: &RunResult, suite: &Testsuite) -> io::Result<()> {
    let attributes = [
        ("name", xml::attribute(&suite.name)),
        ("tests", suite.cases.len().to_string()),
        ("failures", suite.count(failed).to_string()),
        ("errors", suite.count(broken).to_string()),
        ("skipped", suite.count(skipped).to_string()),
        ("timestamp", run.started.trim_end_matches('Z').to_owned()),
    ];
    let properties = [
        ("run", &run.run),
        ("engine", &run.engine),
        ("kernel", &run.kernel.name),
        ("kernel.release", &run.kernel.release),
        ("kernel.profile", &run.kernel.profile),
        ("lookback", &run.lookback),
        ("seed", &run.seed.to_string()),
    ]
    .map(|(name, value)| (name, xml::attribute(value)));
    writer
        .create_element("testsuite")
        .with_attributes(borrow(&attributes))
        .write_inner_content(|writer| {
            writer
                .create_element("properties")
                .write_inner_content(|writer| {
                    for (name, value) in &properties {
                        writer
                            .create_element("property")
                            .with_attributes([("name", *name), ("value", value.as_str())])
                            .write_empty()?;
                    }
                    Ok(())
                })?;
            suite
                .cases
                .iter()
                .try_for_each(|case| write_case(writer, &suite.name, case))
        })?;
    Ok(())
}

fn write_case(writer: &mut Writer<Vec<u8>>, suite: &str, case: &Testcase) -> io::Result<()> {
    let attributes = [
        ("classname", xml::attribute(suite)),
        ("name", xml::attribute(&case.name)),
        ("time", case.seconds.clone()),
    ];
    let element = writer
        .create_element("testcase")
        .with_attributes(borrow(&attributes));
    if case.said.is_empty() && case.out.is_empty() {
        element.write_empty()?;
        return Ok(());
    }
    element.write_inner_content(|writer| {
        case.said.iter().try_for_each(|said| match said {
            Said::Failure(finding) => write_finding(writer, "failure", finding),
            Said::Error(finding) => write_finding(writer, "error", finding),
            Said::Skipped(reason) => writer
                .create_element("skipped")
                .with_attribute(("message", xml::attribute(reason).as_str()))
                .write_empty()
                .map(drop),
        })?;
        if !case.out.is_empty() {
            let text = case.out.join("\n");
            writer
                .create_element("system-out")
                .write_text_content(BytesText::new(&xml::clean(&text)))?;
        }
        Ok(())
    })?;
    Ok(())
}

fn write_finding(writer: &mut Writer<Vec<u8>>, tag: &str, finding: &Finding) -> io::Result<()> {
    let text = std::iter::once(&finding.title).chain(&finding.text);
    let text = text.map(String::as_str).collect::<Vec<_>>().join("\n");
    writer
        .create_element(tag)
        .with_attributes([
            ("type", xml::attribute(&finding.signature).as_str()),
            ("message", xml::attribute(&finding.title).as_str()),
        ])
        .write_text_content(BytesText::new(&xml::clean(&text)))?;
    Ok(())
}

fn testcase(case: &CaseResult) -> Testcase {
    let mut said: Vec<Said> = case.findings.iter().cloned().map(of_finding).collect();
    // A status is never without a word of its own.
    match &case.status {
        Status::Passed => {}
        Status::Known => said.push(Said::Skipped("the other kernel shows the same".into())),
        Status::Skipped { reason } => said.push(Said::Skipped(reason.clone())),
        Status::NotRun { reason } => said.push(error("not-run", format!("not run: {reason}"))),
        Status::Crashed if !said.iter().any(|said| matches!(said, Said::Error(_))) => {
            said.push(error(
                "crash",
                "the guest kernel crashed or warned during this case",
            ));
        }
        Status::Hung if !said.iter().any(|said| matches!(said, Said::Error(_))) => {
            said.push(error("hang", "this case did not end in time"));
        }
        Status::Failed if said.is_empty() => {
            said.push(Said::Failure(Finding::new(
                Kind::Difference,
                "failed",
                "this case failed",
            )));
        }
        Status::Failed | Status::Crashed | Status::Hung => {}
    }
    let mut out: Vec<String> = case
        .guest
        .map(|guest| format!("ran in guest {guest}"))
        .into_iter()
        .collect();
    if case.omitted > 0 {
        out.push(format!("{} further differences left out", case.omitted));
    }
    for (id, count) in &case.excused {
        out.push(format!("legitimate difference {id}: {count}"));
    }
    out.extend(
        case.files
            .iter()
            .map(|file| format!("[[ATTACHMENT|{file}]]")),
    );
    Testcase {
        name: case.id.clone(),
        seconds: case.seconds(),
        said,
        out,
    }
}

fn of_finding(finding: Finding) -> Said {
    match finding.kind {
        Kind::Difference => Said::Failure(finding),
        Kind::Crash | Kind::Leak | Kind::Hang => Said::Error(finding),
    }
}

fn error(signature: &str, title: impl Into<String>) -> Said {
    Said::Error(Finding::new(Kind::Hang, signature, title))
}

fn whole_run(run: &RunResult) -> Vec<Testcase> {
    let case = |name: String, said| Testcase {
        name,
        seconds: "0".into(),
        said,
        out: Vec::new(),
    };
    let mut end: Vec<Said> = match &run.problem {
        None => Vec::new(),
        Some(Problem::Environment(text)) => vec![error("environment", text)],
        Some(Problem::Hang(text)) => vec![error("hang", text)],
        Some(Problem::Crash(text)) => vec![error("crash", text)],
    };
    if run.exit_code() == 5 && end.is_empty() {
        end.push(error("incomplete", "something that was to run did not"));
    }
    let console = run
        .console
        .iter()
        .map(|console| {
            let mut finding = console.finding.clone();
            let of = console
                .guest
                .map(|guest| format!("on guest {guest}'s console"));
            finding.text.splice(0..0, of);
            of_finding(finding)
        })
        .collect();
    let mut cases = vec![case("end".into(), end), case("console".into(), console)];
    for fsck in &run.fsck {
        let said = match &fsck.status {
            FsckStatus::Clean => vec![],
            FsckStatus::NotRun { reason } => vec![error("not-run", format!("not run: {reason}"))],
            FsckStatus::Skipped { reason } => vec![Said::Skipped(reason.clone())],
            FsckStatus::Errors => {
                let of = fsck.guest.map(|guest| format!(" of guest {guest}"));
                let title = format!(
                    "e2fsck found errors in the {} image{}",
                    fsck.image,
                    of.unwrap_or_default()
                );
                let signature = format!("fsck:{}", fsck.image);
                let mut finding = Finding::new(Kind::Difference, signature, title);
                finding.text = fsck.output.lines().map(str::to_owned).collect();
                vec![Said::Failure(finding)]
            }
        };
        // The first guest's keep their names, however many follow.
        let name = match fsck.guest {
            None | Some(1) => format!("fsck.{}", fsck.image),
            Some(guest) => format!("fsck.{}.guest-{guest}", fsck.image),
        };
        cases.push(case(name, said));
    }
    cases
}

#[cfg(test)]
mod tests;
