//! Agents that are not there, and command lines that cannot work.

use agent::{Error, Kind};

use crate::world::{World, write_program};

fn command(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

#[tokio::test]
async fn an_agent_that_cannot_be_started_is_missing() {
    let world = World::new().await;
    let tree = world.tree();
    write_program(&tree.join("plain"), "#!/bin/sh\n", 0o644);
    write_program(&tree.join("broken"), "#!/no/such/interpreter\n", 0o755);
    for (program, reason) in [
        ("no-such-agent", "was not found"),
        ("/no/such/agent", "was not found"),
        (tree.join("plain").to_str().unwrap(), "not an executable file"),
        (tree.join("broken").to_str().unwrap(), "interpreter"),
        (tree.to_str().unwrap(), "not an executable file"),
    ] {
        for kind in [Kind::Command, Kind::Acp] {
            let error = world
                .run(kind, command(&[program, "{prompt}"]))
                .await
                .unwrap_err();
            let Error::Missing { program: named, .. } = &error else {
                panic!("{program}: {error:?}");
            };
            assert_eq!(named, program);
            assert!(error.to_string().contains(reason), "{error}");
        }
    }
    assert!(world.requests().is_empty());
}

#[tokio::test]
async fn a_command_line_that_cannot_work_is_refused_before_anything_starts() {
    let world = World::new().await;
    for (words, reason) in [
        (&["/bin/true"][..], "would not learn its task"),
        (&["/bin/true", "{promt}"], "there is no placeholder {promt}"),
        (&["", "{prompt}"], "names no program"),
        (&[], "names no program"),
    ] {
        let error = world.run(Kind::Command, command(words)).await.unwrap_err();
        assert!(matches!(error, Error::Launcher { .. }), "{error:?}");
        assert!(error.to_string().contains(reason), "{error}");
    }
}
