//! A proxy is used when it is given, and only then.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::process::Command;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};

use git::{Depth, Error, Remote};

use crate::server::TOKEN;
use crate::world::{BRANCH, World};

#[test]
fn a_given_proxy_carries_fetch_and_push() {
    let world = World::new();
    let proxy = Proxy::start();
    let remote = Remote {
        proxy: Some(proxy.url("")),
        ..world.remote()
    };
    let mirror = world.mirror();
    let pushed = world.change_and_push(mirror.as_ref(), &remote).unwrap();
    assert_eq!(world.server_head(), pushed);
    let heads = proxy.heads();
    assert!(!heads.is_empty());
    let prefix = format!("GET {}/proj/demo.git/info/refs", world.server.url);
    assert!(heads[0].starts_with(&prefix), "{heads:?}");
}

#[test]
fn a_tls_connection_is_tunnelled_and_the_proxy_sees_no_token() {
    let (world, trusting) = crate::tls::world();
    let proxy = Proxy::start();
    let remote = Remote {
        proxy: Some(proxy.url("alice:secret@")),
        ..trusting
    };
    let mirror = world.mirror();
    let pushed = world.change_and_push(mirror.as_ref(), &remote).unwrap();
    assert_eq!(world.server_head(), pushed);
    let heads = proxy.heads();
    assert!(!heads.is_empty());
    for head in heads {
        assert!(head.starts_with("CONNECT localhost:"), "{head}");
        // alice:secret
        assert!(head.contains("Basic YWxpY2U6c2VjcmV0"), "{head}");
        assert!(!head.contains(TOKEN), "{head}");
    }
}

#[test]
fn a_proxy_that_is_gone_is_not_gone_around() {
    let world = World::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let gone = format!("http://{}", free.local_addr().unwrap());
    drop(free);
    let remote = Remote {
        proxy: Some(gone.parse().unwrap()),
        ..world.remote()
    };
    let failed = world
        .mirror()
        .fetch(&remote, BRANCH, Depth::Shallow(1), &AtomicBool::new(false));
    assert!(matches!(failed, Err(Error::Unreachable { .. })), "{failed:?}");
    assert_eq!(world.server.seen(), Vec::<String>::new());
}

#[test]
fn without_a_proxy_the_server_itself_is_asked() {
    let world = World::new();
    let mirror = world.mirror();
    let pushed = world.change_and_push(mirror.as_ref(), &world.remote()).unwrap();
    assert_eq!(world.server_head(), pushed);
}

/// The environment belongs to the process, so the test above runs once more in a process of its own.
#[test]
#[expect(clippy::disallowed_methods, reason = "an environment needs a process")]
fn a_proxy_of_the_environment_is_not_used() {
    let proxy = Proxy::start();
    let url = proxy.url("").to_string();
    let mut test = Command::new(std::env::current_exe().unwrap());
    test.args(["--exact", "proxies::without_a_proxy_the_server_itself_is_asked"]);
    for name in ["http_proxy", "https_proxy", "all_proxy"] {
        test.env(name, &url).env(name.to_uppercase(), &url);
    }
    test.env_remove("no_proxy").env_remove("NO_PROXY");
    let output = test.output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    assert!(text.contains("1 passed"), "it was not run: {text}");
    assert_eq!(proxy.heads(), Vec::<String>::new());
}

/// An HTTP proxy on loopback that remembers the first request of every connection. Requests in absolute form are
/// passed on as they are, which servers have to take (RFC 9112, 3.2.2).
struct Proxy {
    address: String,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Proxy {
    /// Serves until the process ends.
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let proxy = Self {
            address: listener.local_addr().unwrap().to_string(),
            heads: Arc::default(),
        };
        let heads = proxy.heads.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let heads = heads.clone();
                std::thread::spawn(move || serve(&client, &heads).unwrap());
            }
        });
        proxy
    }

    fn url(&self, user: &str) -> url::Url {
        format!("http://{user}{}", self.address).parse().unwrap()
    }

    fn heads(&self) -> Vec<String> {
        self.heads.lock().unwrap().clone()
    }
}

fn serve(client: &TcpStream, heads: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut from_client = BufReader::new(client.try_clone()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if from_client.read_line(&mut head)? == 0 {
            return Ok(());
        }
    }
    heads.lock().unwrap().push(head.clone());
    let target = head.split(' ').nth(1).unwrap_or_default();
    let server = if head.starts_with("CONNECT ") {
        let server = TcpStream::connect(target)?;
        (&*client).write_all(b"HTTP/1.1 200 Connection established\r\n\r\n")?;
        server
    } else {
        let target: url::Url = target.parse().map_err(std::io::Error::other)?;
        let mut server = TcpStream::connect(&*target.socket_addrs(|| None)?)?;
        server.write_all(head.as_bytes())?;
        server
    };
    let (mut to_client, mut from_server) = (client.try_clone()?, server.try_clone()?);
    let back = std::thread::spawn(move || {
        // Whoever ends first ends both; a reset is an end as well.
        let _ended = std::io::copy(&mut from_server, &mut to_client);
        to_client.shutdown(Shutdown::Both)
    });
    let _ended = std::io::copy(&mut from_client, &mut &server);
    let _closed = server.shutdown(Shutdown::Both);
    let _closed = back.join();
    Ok(())
}
