use worker::managed::ManagedServer;

use super::*;
use crate::testing::run_asking;

/// A server with everything in it, its store, and a connection.
async fn started() -> (tempfile::TempDir, ManagedServer, Nats) {
    let directory = tempfile::tempdir().unwrap();
    let server = ManagedServer::start(directory.path(), None, CancellationToken::new())
        .await
        .unwrap();
    let nats = Nats::connect(&server.settings(&config::Nats::default()), "test")
        .await
        .unwrap();
    nats.ensure().await.unwrap();
    (directory, server, nats)
}

#[tokio::test]
async fn a_patch_that_is_too_large_to_be_kept_is_no_failure() {
    let (_directory, server, nats) = started().await;
    let mut run = run_asking("fix it");
    let number = run.take(Timestamp::UNIX_EPOCH, Timestamp::now()).unwrap();
    let key = subject::run_key(&run.id);
    nats.runs().create(&key, &run).await.unwrap();
    let attempt = Attempt::new(nats.clone(), run, number);
    let record = async || nats.runs().get(&key).await.unwrap().unwrap();

    let too_large = vec![b'x'; usize::try_from(worker::ARTIFACT_BYTES_MAX).unwrap() + 1];
    let commit = CommitId::new("a".repeat(40)).unwrap();
    assert!(
        !attempt
            .keep_patch(std::slice::from_ref(&commit), &too_large)
            .await
            .unwrap()
    );
    let noted = record().await;
    assert_eq!((noted.committed, noted.patch), (true, None));

    assert!(
        attempt
            .keep_patch(std::slice::from_ref(&commit), b"+x\n")
            .await
            .unwrap()
    );
    let noted = record().await;
    assert_eq!((noted.commits, noted.patch.unwrap().bytes), (vec![commit], 3));
    server.stop().await;
}

#[tokio::test]
async fn a_repeated_attempt_keeps_the_transcript_of_the_one_before() {
    let (_directory, server, nats) = started().await;
    let run = run_asking("fix it");
    let key = subject::run_key(&run.id);
    nats.runs().create(&key, &run).await.unwrap();
    for text in ["first", "second"] {
        let mut run = nats.runs().get(&key).await.unwrap().unwrap();
        let number = run.take(Timestamp::UNIX_EPOCH, Timestamp::now()).unwrap();
        let taken = run.clone();
        nats.runs()
            .update(&key, |run| {
                *run = taken.clone();
                Ok::<(), Fenced>(())
            })
            .await
            .unwrap()
            .unwrap();
        let attempt = Attempt::new(nats.clone(), run, number);
        // As it happens where the record could not be written the first time.
        for _ in 0..2 {
            attempt.worked(Usage::default(), text.as_bytes()).await.unwrap();
        }
        // Nothing was asked: there is nothing new to keep.
        attempt.worked(Usage::default(), b"").await.unwrap();
    }
    let record = nats.runs().get(&key).await.unwrap().unwrap();
    assert_eq!(record.transcribed, [1, 2]);
    assert_eq!(record.transcript.unwrap().key, subject::transcript(&record.id, 2));
    for (attempt, text) in [(1, "first"), (2, "second")] {
        let key = subject::transcript(&record.id, attempt);
        let kept = nats.artifacts().get(&key).await.unwrap();
        assert_eq!(kept.as_deref(), Some(text.as_bytes()));
    }
    server.stop().await;
}

#[tokio::test]
async fn a_step_is_left_when_the_run_is_ended_by_somebody_else_and_waited_for_otherwise() {
    let (_directory, server, nats) = started().await;
    let mut run = run_asking("fix it");
    let number = run.take(Timestamp::UNIX_EPOCH, Timestamp::now()).unwrap();
    let key = subject::run_key(&run.id);
    nats.runs().create(&key, &run).await.unwrap();
    let attempt = Attempt::new(nats.clone(), run, number);

    let over = attempt.unless_stopped(async { Ok(7) }).await;
    assert_eq!(over.unwrap(), Some(7));
    let stop = async {
        nats.runs()
            .update(&key, |run| {
                run.end(None, RunState::Cancelled, Outcome::default(), Timestamp::now())
            })
            .await
    };
    let endless = std::future::pending::<Result<(), Failure>>();
    let (left, stopped) = tokio::join!(attempt.unless_stopped(endless), stop);
    stopped.unwrap().unwrap();
    assert_eq!(left.unwrap(), None);
    server.stop().await;
}
