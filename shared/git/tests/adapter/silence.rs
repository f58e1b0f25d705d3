//! Servers that say nothing: given up after the limit, or as soon as somebody says stop.

use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use git::{Cache, CacheLimits, Depth, Error, PushError};
use pipeline::ids::CommitId;

use crate::world::{BRANCH, World, commit};

/// Long enough for a pause of a busy machine, short enough for a test.
const SILENCE: Duration = Duration::from_secs(2);
/// Far beyond [`SILENCE`] and far below the limit that holds by default.
const PATIENCE: Duration = Duration::from_secs(60);
/// The beginning of an answer that is worth waiting for.
const BEGINNING: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: application/x-git-upload-pack-advertisement\r\ncontent-length: 24\r\n\r\n";

#[test]
fn a_server_that_never_answers_is_given_up_after_the_limit() {
    let world = impatient();
    let (url, _asked) = answering(|stream| until_closed(&stream));
    is_given_up(|| fetch(&world, &url, &AtomicBool::new(false)));
}

#[test]
fn a_server_that_falls_silent_within_an_answer_is_given_up_after_the_limit() {
    let world = impatient();
    let (url, _asked) = answering(|mut stream| {
        stream.write_all(BEGINNING)?;
        stream.write_all(b"001e#")?;
        until_closed(&stream)
    });
    is_given_up(|| fetch(&world, &url, &AtomicBool::new(false)));
}

fn is_given_up(fetch: impl FnOnce() -> Result<CommitId, Error>) {
    let started = Instant::now();
    let failed = fetch();
    let took = started.elapsed();
    assert!(
        matches!(&failed, Err(Error::Interrupted { cause }) if cause.contains("silent")),
        "{failed:?}"
    );
    assert!(SILENCE <= took && took < PATIENCE, "{took:?}");
}

#[test]
fn a_server_that_is_slow_is_waited_for() {
    let world = impatient();
    let (url, _asked) = answering(|mut stream| {
        stream.write_all(BEGINNING)?;
        // A byte at a time: together longer than the limit, none of them near it.
        let (_nobody, clock) = mpsc::channel::<()>();
        for byte in *b"0014# not what was asked" {
            let _pause = clock.recv_timeout(SILENCE / 16);
            stream.write_all(&[byte])?;
        }
        until_closed(&stream)
    });
    let started = Instant::now();
    let failed = fetch(&world, &url, &AtomicBool::new(false));
    assert!(matches!(failed, Err(Error::Protocol { .. })), "{failed:?}");
    assert!(started.elapsed() > SILENCE);
}

#[test]
fn a_push_whose_answer_never_comes_may_have_happened() {
    let world = impatient();
    let mirror = world.mirror();
    world
        .server
        .behave(|server| server.silent_to = Some("/git-receive-pack"));
    let pushed = world.change_and_push(mirror.as_ref(), &world.remote());
    assert!(
        matches!(&pushed, Err(PushError::Ambiguous { cause }) if cause.contains("silent")),
        "{pushed:?}"
    );
}

#[test]
fn a_stop_flag_ends_the_wait_for_an_answer() {
    let world = World::new();
    let (url, asked) = answering(|stream| until_closed(&stream));
    is_stopped(asked, |stop| fetch(&world, &url, stop));
}

#[test]
fn a_stop_flag_ends_the_wait_for_the_rest_of_an_answer() {
    let world = World::new();
    let (url, asked) = answering(|mut stream| {
        stream.write_all(BEGINNING)?;
        stream.write_all(b"001e#")?;
        until_closed(&stream)
    });
    is_stopped(asked, |stop| fetch(&world, &url, stop));
}

/// The flag is raised once the server has the request; nobody waits long after that, and the connection is closed.
fn is_stopped(asked: Receiver<Asked>, fetch: impl FnOnce(&AtomicBool) -> Result<CommitId, Error>) {
    // The flag is looked at several times a second; the rest is for a busy machine.
    const AT_MOST: Duration = Duration::from_secs(5);
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let (stop, asked) = (&stop, asked);
        let stopping = scope.spawn(move || {
            assert_eq!(asked.recv_timeout(PATIENCE), Ok(Asked::Request));
            let raised = Instant::now();
            stop.store(true, Ordering::Relaxed);
            assert_eq!(asked.recv_timeout(PATIENCE), Ok(Asked::Closed));
            raised
        });
        let fetched = fetch(stop);
        let ended = Instant::now();
        assert!(matches!(fetched, Err(Error::Stopped)), "{fetched:?}");
        let took = ended - stopping.join().unwrap();
        assert!(took < AT_MOST, "{took:?}");
    });
}

#[test]
fn a_mirror_is_as_good_as_before_after_a_stopped_fetch() {
    let world = World::new();
    let mirror = world.mirror();
    let (head, tree) = world.check_out(mirror.as_ref());
    let (url, asked) = answering(|stream| until_closed(&stream));
    is_stopped(asked, |stop| {
        let mut remote = world.remote();
        url.clone_into(&mut remote.url);
        mirror.fetch(&remote, BRANCH, Depth::Shallow(1), stop)
    });
    std::fs::write(tree.join("a.txt"), "changed\n").unwrap();
    let new = commit(mirror.as_ref(), &head, &tree);
    mirror.push(&world.remote(), BRANCH, &head, &new).unwrap();
    assert_eq!(world.fetch(mirror.as_ref()).unwrap(), new);
}

/// A world whose cache waits [`SILENCE`] and no longer.
fn impatient() -> World {
    let mut world = World::new();
    let limits = CacheLimits {
        silence: SILENCE,
        ..CacheLimits::default()
    };
    world.cache = Cache::new(&world.directory.path().join("data"), limits);
    world
}

/// Fetches from another URL than the world's own.
fn fetch(world: &World, url: &str, stop: &AtomicBool) -> Result<CommitId, Error> {
    let mut remote = world.remote();
    url.clone_into(&mut remote.url);
    world.mirror().fetch(&remote, BRANCH, Depth::Shallow(1), stop)
}

/// What has happened to the one connection of a server.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    Request,
    Closed,
}

/// A server that takes one request and answers it in its own way; the URL of a repository there, and what happens.
fn answering(answer: impl FnOnce(TcpStream) -> io::Result<()> + Send + 'static) -> (String, Receiver<Asked>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/proj/demo.git", listener.local_addr().unwrap());
    let (tell, asked) = mpsc::channel();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap();
            head.push(byte[0]);
        }
        // A test that has ended does not listen any more, and its end may be a reset.
        let _told = tell.send(Asked::Request);
        let _ended = answer(stream);
        let _told = tell.send(Asked::Closed);
    });
    (url, asked)
}

/// Says nothing until the other side closes the connection.
fn until_closed(mut stream: &TcpStream) -> io::Result<()> {
    io::copy(&mut stream, &mut io::sink()).map(drop)
}
