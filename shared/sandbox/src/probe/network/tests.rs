//! In a network of its own, the model proxy's stand-in may have the very port number of a target outside.

use std::io::Write as _;
use std::path::PathBuf;
use std::thread::JoinHandle;

use super::*;
use crate::probe::plan::{Bystander, Ipc, Namespaces, Places, Ports, UnixSockets};
use crate::probe::positive;

/// Every TCP target and the model proxy have the same port.
fn plan_of(port: u16) -> Plan {
    let nowhere = PathBuf::from("/nowhere");
    Plan {
        canary: "c".repeat(32),
        model_greeting: "m".repeat(32),
        model_port: Some(port),
        other_host: None,
        ports: Ports {
            nats: port,
            metrics: port,
            other_run: port,
            ipv6: None,
            udp: port,
            udp_ipv6: None,
        },
        unix: UnixSockets {
            stream: nowhere.clone(),
            datagram: nowhere.clone(),
            abstract_stream: String::new(),
            abstract_datagram: String::new(),
        },
        outside: nowhere.clone(),
        bystander: Bystander {
            pid: 0,
            address: 0,
            descriptor: 0,
        },
        worker: 0,
        namespaces: Namespaces {
            pid: String::new(),
            ipc: String::new(),
        },
        ipc: Ipc {
            shared_memory: None,
            messages: None,
            semaphores: None,
            queue: None,
            file: None,
        },
        terminal: None,
        cell: Places {
            work_tree: nowhere.clone(),
            home: nowhere.clone(),
            tmp: nowhere,
        },
        environment: Vec::new(),
        killer: None,
    }
}

/// Says `greeting` to the next one who connects.
fn greeter(greeting: &str) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let greeting = greeting.to_owned();
    let thread = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        stream.write_all(greeting.as_bytes()).unwrap();
    });
    (port, thread)
}

#[test]
fn the_model_proxy_on_the_port_of_a_target_is_no_leak() {
    for (target, probe) in [
        ("nats", tcp_to_nats as fn(&Plan) -> Attempt),
        ("metrics", tcp_to_metrics),
        ("another run", tcp_to_another_run),
    ] {
        let (port, thread) = greeter(&plan_of(0).model_greeting);
        let tried = probe(&plan_of(port));
        assert!(matches!(tried, Err(Failure::Refused(_))), "{target}: {tried:?}");
        thread.join().unwrap();
    }
}

#[test]
fn a_target_that_is_reached_is_a_leak() {
    let (port, thread) = greeter(&plan_of(0).canary);
    assert!(tcp_to_metrics(&plan_of(port)).is_ok());
    thread.join().unwrap();
}

#[test]
fn the_model_proxy_is_known_by_what_it_says() {
    let (port, thread) = greeter(&plan_of(0).model_greeting);
    assert!(positive::model_port(&plan_of(port)).is_ok());
    thread.join().unwrap();
    let (port, thread) = greeter(&plan_of(0).canary);
    assert!(positive::model_port(&plan_of(port)).is_err());
    thread.join().unwrap();
}
