//! Clients that ask for too much, too slowly, too often or for nonsense: the next one is served.

use std::io::{ErrorKind, Read, Write};
use std::time::{Duration, Instant};

use crate::http::{PATIENCE, connect, exchange, read_answer};
use crate::program::{LOG, Serving};

/// The resident memory of a process, in bytes.
fn memory(serving: &Serving) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", serving.child.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

#[test]
fn a_gigabyte_of_body_is_cut_off() {
    let serving = Serving::start(&[LOG]);
    assert!(serving.get("/metrics").starts_with("HTTP/1.1 200"));
    let before = memory(&serving);
    for head in ["Content-Length: 1073741824", "Transfer-Encoding: chunked"] {
        for request in ["POST /-/reload", "POST /metrics", "GET /metrics"] {
            let mut stream = connect(&serving.address);
            write!(stream, "{request} HTTP/1.1\r\nHost: x\r\n{head}\r\n\r\n").unwrap();
            if head.starts_with("Transfer") {
                // One endless chunk.
                write!(stream, "40000000\r\n").unwrap();
            }
            let block = vec![b'x'; 1 << 20];
            let sent = (0..1024).take_while(|_| stream.write_all(&block).is_ok()).count();
            assert!(sent < 64, "{request} {head}: {sent} MiB were taken");
        }
    }
    assert!(serving.get("/metrics").starts_with("HTTP/1.1 200"));
    let grown = memory(&serving).saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes were kept");
}

#[test]
fn an_endless_head_is_cut_off() {
    let serving = Serving::start(&[LOG]);
    for start in ["GET /", "GET / HTTP/1.1\r\nX: "] {
        let request = [start.as_bytes(), &vec![b'a'; 1 << 20]].concat();
        let answer = exchange(&serving.address, &request);
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    let many: String = (0..1000).map(|n| format!("A{n}: b\r\n")).collect();
    let answer = exchange(&serving.address, format!("GET / HTTP/1.1\r\n{many}\r\n").as_bytes());
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert!(serving.get("/metrics").starts_with("HTTP/1.1 200"));
}

#[test]
fn a_slow_head_is_cut_off_and_an_idle_connection_is_kept() {
    let serving = Serving::start(&[LOG]);
    let mut idle = connect(&serving.address);
    let mut ask = || {
        idle.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").unwrap();
        read_answer(&mut idle)
    };
    assert!(ask().starts_with("HTTP/1.1 200"));
    let mut slow = connect(&serving.address);
    let mut silent = connect(&serving.address);
    let start = Instant::now();
    slow.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    slow.write_all(b"GET /metrics HTTP/1.1\r\n").unwrap();
    // A header every tenth of a second, and never the last one.
    loop {
        let written = slow.write_all(b"A: b\r\n");
        match slow.read(&mut [0; 1024]) {
            // A signal to this process ends a read that has a time limit, too.
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {}
            Ok(0) | Err(_) => break,
            Ok(_) => panic!("an answer to half a request"),
        }
        assert!(start.elapsed() < PATIENCE, "{written:?}");
    }
    let cut = start.elapsed();
    assert!(cut > Duration::from_secs(8), "honest clients may be slow: {cut:?}");
    // So is one that says nothing at all.
    assert_eq!(silent.read(&mut [0]).unwrap(), 0);
    assert!(ask().starts_with("HTTP/1.1 200"), "an idle connection outlives the time for a head");
    assert!(serving.get("/metrics").starts_with("HTTP/1.1 200"));
}

#[test]
fn ten_thousand_connections_harm_no_scrape() {
    let serving = Serving::start(&[LOG]);
    let mut kept = connect(&serving.address);
    let mut ask = || {
        kept.write_all(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n").ok()?;
        let mut start = [0; 12];
        kept.read_exact(&mut start).ok()?;
        Some(start)
    };
    ask().expect("the first is served");
    let mut open = Vec::new();
    for n in 0..10_000u32 {
        let mut stream = connect(&serving.address);
        if n % 2 == 0 {
            drop(stream.write_all(b"GET /metrics HTTP/1.1\r\nHost:"));
        }
        open.push(stream);
        // Far more than are let in, and fewer than this process may hold.
        if open.len() > 700 {
            open.drain(..200);
        }
        if n % 500 == 0 {
            let start = Instant::now();
            assert!(serving.get("/metrics").starts_with("HTTP/1.1 200"), "after {n} connections");
            assert!(start.elapsed() < Duration::from_secs(10), "after {n} connections: {:?}", start.elapsed());
        }
    }
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", serving.child.id())).unwrap().count();
    assert!(descriptors < 400, "{descriptors} descriptors are held");
    drop(open);
    assert!(serving.get("/metrics").starts_with("HTTP/1.1 200"));
    assert!(memory(&serving) < 200 << 20);
}

/// A generator of numbers that a seed determines.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % limit
    }
}

#[test]
fn malformed_requests_do_no_harm() {
    const SEEDS: [&[u8]; 10] = [
        b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /-/reload HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n0123456789",
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\nffffffffffffffff\r\n",
        b"GET /%2e%2e/%00 HTTP/1.0\r\nAuthorization: Basic QQ==\r\nAuthorization: Basic %\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        b"GET http://other/metrics HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        b"GET /metrics HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 99999999999999999999\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\nAccept-Encoding: gzip;q=;;,,=q,gzip;q=1e999\r\n folded: x\r\n\r\n",
    ];
    const PIECES: [&[u8]; 8] = [
        b"\r\n",
        b"\0",
        b"\xff\xfe",
        b": ",
        b"\r",
        b"Content-Length: -1\r\n",
        b"HTTP/9.9",
        b"Transfer-Encoding: x\r\n",
    ];
    let serving = Serving::start(&[LOG]);
    let mut random = Random(20_261_124);
    for round in 0..3_000 {
        let mut request = SEEDS[random.below(SEEDS.len())].to_vec();
        for _ in 0..=random.below(4) {
            let at = random.below(request.len() + 1);
            match random.below(5) {
                0 => request.truncate(at),
                1 => drop(request.splice(at..at, PIECES[random.below(PIECES.len())].iter().copied())),
                2 if at < request.len() => request[at] = random.below(256) as u8,
                3 => request.extend_from_within(at..),
                _ => request.extend_from_slice(SEEDS[random.below(SEEDS.len())]),
            }
        }
        let mut stream = connect(&serving.address);
        // Half of them wait for what comes back; a request that is not whole ends with the client's half.
        drop(stream.write_all(&request));
        drop(stream.shutdown(std::net::Shutdown::Write));
        if round % 2 == 0 {
            let mut answer = Vec::new();
            drop(stream.take(1 << 20).read_to_end(&mut answer));
            assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{round}: {request:?}");
        }
    }
    let page = serving.get("/metrics");
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    let descriptors = std::fs::read_dir(format!("/proc/{}/fd", serving.child.id())).unwrap().count();
    assert!(descriptors < 400, "{descriptors} descriptors are held");
}
