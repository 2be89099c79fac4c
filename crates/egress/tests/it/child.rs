//! Real child processes.

use std::{collections::BTreeMap, path::Path, time::Duration};

use switchboard_egress::{
    Limits,
    child::{ChildProcess, ChildSpec, Exit, LineError, SpawnError, spawn},
};

use crate::support::eventually;

fn shell(script: &str) -> ChildSpec {
    ChildSpec {
        command: "sh".into(),
        args: vec!["-c".into(), script.into()],
        env: BTreeMap::new(),
        working_dir: None,
    }
}

fn limits() -> Limits {
    Limits { child_exit_timeout: Duration::from_millis(300), ..Limits::default() }
}

async fn line(child: &mut ChildProcess) -> String {
    String::from_utf8(child.reader.next_line().await.unwrap().unwrap().to_vec()).unwrap()
}

/// Running, as opposed to ended or waiting to be collected by its parent.
fn runs(process: &str) -> bool {
    std::fs::read_to_string(Path::new("/proc").join(process).join("stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
}

#[tokio::test]
async fn lines_go_in_and_come_out() {
    let mut child =
        spawn(&shell("while read -r line; do echo \"got $line\"; echo; done"), &limits()).unwrap();
    for text in ["one", "two words", "three"] {
        child.writer.write_line(text.as_bytes()).await.unwrap();
        assert_eq!(line(&mut child).await, format!("got {text}"));
    }
    child.writer.write_line(b"{\r\n  \"a\": 1\n}").await.unwrap();
    assert_eq!(line(&mut child).await, "got {    \"a\": 1 }");
    assert_eq!(child.process.close(child.writer).await, Exit::Code(0));
}

#[tokio::test]
async fn a_child_inherits_no_environment_but_the_bare_necessities() {
    let mut spec = shell("env; echo END");
    spec.env.insert("API_KEY".into(), "canary".into());
    assert!(!format!("{spec:?}").contains("canary"));
    let mut child = spawn(&spec, &limits()).unwrap();
    let mut names = Vec::new();
    loop {
        match line(&mut child).await.as_str() {
            "END" => break,
            text => names.push(text.split('=').next().unwrap().to_owned()),
        }
    }
    // The shell itself adds PWD, SHLVL and `_`.
    names.retain(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(&name.as_str()));
    assert!(names.contains(&"PATH".to_owned()) && names.contains(&"API_KEY".to_owned()), "{names:?}");
    assert!(
        names.iter().all(|name| ["PATH", "HOME", "LANG", "API_KEY"].contains(&name.as_str())),
        "{names:?}"
    );
}

#[tokio::test]
async fn the_working_directory_is_the_one_named() {
    let directory = tempfile::tempdir().unwrap();
    let spec = ChildSpec { working_dir: Some(directory.path().into()), ..shell("pwd -P") };
    let mut child = spawn(&spec, &limits()).unwrap();
    assert_eq!(Path::new(&line(&mut child).await), directory.path().canonicalize().unwrap());
}

#[tokio::test]
async fn dropping_ends_grandchildren_too() {
    let mut child = spawn(&shell("sleep 1000 & echo $!; echo $$; wait"), &limits()).unwrap();
    let (grandchild, own) = (line(&mut child).await, line(&mut child).await);
    assert!(runs(&grandchild) && runs(&own));
    drop(child);
    eventually(|| !runs(&grandchild) && !runs(&own)).await;
}

#[tokio::test]
async fn a_child_that_leaves_takes_its_group_along() {
    let mut child = spawn(&shell("sleep 1000 >/dev/null 2>&1 & echo $!; exit 3"), &limits()).unwrap();
    let grandchild = line(&mut child).await;
    assert_eq!(child.process.wait().await, Exit::Code(3));
    eventually(|| !runs(&grandchild)).await;
}

#[tokio::test]
async fn closing_asks_first_then_insists() {
    // Leaves when its input ends.
    let polite = spawn(&shell("cat >/dev/null; exit 7"), &limits()).unwrap();
    assert_eq!(polite.process.close(polite.writer).await, Exit::Code(7));
    // Ignores its input, obeys SIGTERM.
    let mut deaf =
        spawn(&shell("trap 'exit 8' TERM; echo up; while :; do sleep 0.05; done"), &limits()).unwrap();
    assert_eq!(line(&mut deaf).await, "up");
    assert_eq!(deaf.process.close(deaf.writer).await, Exit::Code(8));
    // Ignores both.
    let mut stubborn =
        spawn(&shell("trap '' TERM; echo up; while :; do sleep 0.05; done"), &limits()).unwrap();
    assert_eq!(line(&mut stubborn).await, "up");
    assert_eq!(stubborn.process.close(stubborn.writer).await, Exit::Signal(9));
}

#[tokio::test]
async fn an_overlong_line_is_skipped_and_the_next_one_read() {
    let limits = Limits { stdio_line_bytes: 1000, ..limits() };
    let script =
        "head -c 1000 /dev/zero | tr '\\0' a; echo; head -c 300000 /dev/zero | tr '\\0' b; echo; echo after";
    let mut child = spawn(&shell(script), &limits).unwrap();
    assert_eq!(line(&mut child).await.len(), 1000);
    let error = child.reader.next_line().await.unwrap().unwrap_err();
    assert_eq!(error, LineError::TooLong { limit_name: "egress.limits.stdio_line_bytes", limit: 1000 });
    assert_eq!(line(&mut child).await, "after");
    assert!(child.reader.next_line().await.is_none());
}

#[tokio::test]
async fn a_line_of_two_megabytes_passes_with_the_defaults() {
    let script = "head -c 2200000 /dev/zero | tr '\\0' x; echo; printf 'unfinished'";
    let mut child = spawn(&shell(script), &Limits::default()).unwrap();
    assert_eq!(line(&mut child).await.len(), 2_200_000);
    assert!(child.reader.next_line().await.is_none());
}

#[tokio::test]
async fn reading_can_be_cancelled_without_losing_a_line() {
    let mut child = spawn(&shell("printf 'fir'; sleep 0.2; echo st; echo second"), &limits()).unwrap();
    let mut lines = Vec::new();
    while lines.len() < 2 {
        if let Ok(line) = tokio::time::timeout(Duration::from_millis(10), child.reader.next_line()).await {
            lines.push(line.unwrap().unwrap());
        }
    }
    assert_eq!(lines, ["first", "second"]);
}

#[tokio::test]
async fn the_end_of_standard_error_is_kept() {
    let script =
        "i=0; while [ $i -lt 2000 ]; do echo \"line $i\" >&2; i=$((i+1)); done; echo fatal >&2; exit 1";
    let mut child = spawn(&shell(script), &limits()).unwrap();
    assert_eq!(child.process.wait().await, Exit::Code(1));
    eventually(|| child.process.stderr().text().ends_with("fatal\n")).await;
    let text = child.process.stderr().text();
    assert!(text.len() <= 4096 && text.contains("line 1999\n") && !text.contains("line 1\n"));
}

#[tokio::test]
async fn what_cannot_start_is_explained() {
    let missing = ChildSpec { command: "no-such-command-here".into(), ..shell("") };
    let error = spawn(&missing, &limits()).unwrap_err();
    assert!(matches!(error, SpawnError::NotFound(_)) && error.to_string().contains("no-such-command-here"));
    let nowhere = ChildSpec { working_dir: Some("/no/such/directory".into()), ..shell("") };
    assert!(matches!(spawn(&nowhere, &limits()).unwrap_err(), SpawnError::WorkingDirectory(_)));
    let file = tempfile::NamedTempFile::new().unwrap();
    let plain = ChildSpec { command: file.path().to_str().unwrap().into(), ..shell("") };
    assert!(matches!(spawn(&plain, &limits()).unwrap_err(), SpawnError::NotExecutable(_)));
}

#[tokio::test]
async fn writing_to_a_child_that_left_is_an_error() {
    let mut child = spawn(&shell("exit 0"), &limits()).unwrap();
    child.process.wait().await;
    assert_eq!(child.writer.write_line(b"{}").await.unwrap_err(), LineError::Closed);
}
