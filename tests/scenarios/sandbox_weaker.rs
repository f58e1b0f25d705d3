//! A machine on which the stronger sandbox is not to be had, and what roles are to other processes of their user.

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt, chown};
use std::process::Stdio;

use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};
use serde_json::Value;
use tests::child::program;
use tests::waiting::{WAIT_MAX, until};
use tests::world::scenario;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::looking_in::page;

/// Takes the call away from this thread, and from every process that it starts, by which a cell gets a root of its own.
fn without_roots() {
    let rules = BTreeMap::from([(libc::SYS_pivot_root, Vec::new())]);
    let architecture = std::env::consts::ARCH.try_into().unwrap();
    let denial = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(rules, SeccompAction::Allow, denial, architecture).unwrap();
    seccompiler::apply_filter(&BpfProgram::try_from(filter).unwrap()).unwrap();
}

#[test]
fn where_level_2_is_not_to_be_had_work_is_done_at_level_1_and_the_operator_is_warned() {
    let story = || {
        without_roots();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(scenario(async |world| {
            let comment = world.alice().comments(1, "@openhands fix it").await.unwrap();
            let reply = world.pull_request(1).final_reply_to(comment).await;
            assert!(
                reply.text.starts_with("**Done") && reply.text.contains("level 1"),
                "{}",
                reply.text
            );
            let ready: Value = serde_json::from_str(&page(world, "/readyz").await).unwrap();
            assert_eq!(ready["ready"], true, "{ready}");
            let sandbox = &ready["sandbox"];
            assert_eq!(sandbox["level"], "level 1 (landlock, seccomp)", "{ready}");
            let unproven = sandbox["not_proven"].as_array().unwrap();
            assert!(
                unproven.contains(&"pivot_root".into()),
                "it cannot be tried here: {ready}"
            );
            let warned = ready["warnings"].as_array().unwrap().iter().any(|warning| {
                let warning = warning.as_str().unwrap();
                warning.starts_with("agents run in a weaker sandbox")
                    && warning.contains("entering the new root")
            });
            assert!(warned, "{ready}");
        }));
    };
    std::thread::spawn(story).join().expect("the scenario holds");
}

/// The kernel gives what is in `/proc` of a process that is closed to its own user to root.
#[tokio::test]
async fn a_role_is_closed_to_other_processes_of_its_user() {
    const USER: u32 = 65534;
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name);
    std::fs::set_permissions(directory.path(), PermissionsExt::from_mode(0o755)).unwrap();
    std::fs::create_dir(path("data")).unwrap();
    std::fs::write(path("token"), "token").unwrap();
    std::fs::set_permissions(path("token"), PermissionsExt::from_mode(0o600)).unwrap();
    std::fs::write(
        path("resolver.toml"),
        format!(
            "data_dir = {:?}\n[health]\nlisten = \"127.0.0.1:0\"\n[nats]\nurl = \"nats://127.0.0.1:1\"\n[[connection]]\n\
             id = \"main\"\nbase_url = \"http://localhost:1\"\nbot_token_file = {:?}\nrepositories = [\"P/*\"]\n",
            path("data"),
            path("token")
        ),
    )
    .unwrap();
    #[expect(clippy::disallowed_methods, reason = "operators run the executable")]
    let mut role = tokio::process::Command::new(program("openhands-resolver").unwrap());
    #[expect(
        clippy::disallowed_methods,
        reason = "a process that closes nothing, as the control"
    )]
    let mut control = tokio::process::Command::new("sleep");
    role.args(["reply", "--config"]).arg(path("resolver.toml"));
    control.arg("1000");
    let is_root = rustix::process::geteuid().is_root();
    let mut processes = Vec::new();
    for command in [&mut role, &mut control] {
        if is_root {
            command.uid(USER).gid(USER);
        }
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        processes.push(command);
    }
    if is_root {
        for name in ["data", "token"] {
            chown(path(name), Some(USER), Some(USER)).unwrap();
        }
    }
    let mut children: Vec<_> = processes
        .into_iter()
        .map(|command| command.kill_on_drop(true).spawn().unwrap())
        .collect();
    let mut lines = BufReader::new(children[0].stdout.take().unwrap()).lines();
    let started = tokio::time::timeout(WAIT_MAX, lines.next_line())
        .await
        .expect("it starts");
    assert!(started.unwrap().unwrap().contains("reply"));
    let owner = |child: &tokio::process::Child| {
        let environment = format!("/proc/{}/environ", child.id().unwrap());
        std::fs::metadata(environment).unwrap().uid()
    };
    let own = if is_root {
        USER
    } else {
        rustix::process::geteuid().as_raw()
    };
    // It is the user's from its start on.
    let is_the_users = || async { (owner(&children[1]) == own).then_some(()) };
    until(WAIT_MAX, is_the_users).await.expect("the control is open");
    assert_eq!(owner(&children[0]), 0, "its environment can be read");
    for child in &mut children {
        child.kill().await.unwrap();
    }
}
