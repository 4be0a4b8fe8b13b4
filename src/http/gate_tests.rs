//! The rules for hosts and origins, as the gates of both listeners apply them.

use std::net::{IpAddr, Ipv4Addr};

use super::*;

const LOOPBACK: Reached = Reached::Tcp(Some(IpAddr::V4(Ipv4Addr::LOCALHOST)));

fn request(version: Version, target: &str, headers: &[(&str, &str)]) -> Request<()> {
    let mut request = Request::post(target).version(version);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

/// What the gate of an operator on loopback says: 200 where the request may go on.
fn status(request: &Request<()>) -> u16 {
    let names = HostNames::new(&["proxy.internal".to_owned()], Some("My-Host"));
    said(&Gate::of_operator(&names, LOOPBACK), request)
}

fn said(gate: &Gate, request: &Request<()>) -> u16 {
    let problem = gate.check(request).err();
    problem.map_or(200, |it| it.status().as_u16())
}

#[test]
fn the_table_of_hosts() {
    for (host, expected) in [
        ("localhost", 200),
        ("LocalHost:8080", 200),
        ("localhost.", 200),
        ("localhost:", 200),
        ("127.0.0.1", 200),
        ("127.0.0.1:8080", 200),
        ("192.0.2.7:80", 200),
        ("[::1]", 200),
        ("[::1]:8080", 200),
        ("[::ffff:127.0.0.1]:8080", 200),
        ("proxy.internal:8080", 200),
        ("PROXY.internal.:8080", 200),
        ("my-host", 200),
        ("rebound.example:8080", 421),
        ("localhost.rebound.example", 421),
        ("evil.localhost", 421),
        ("127.0.0.1.nip.io", 421),
        ("2130706433", 421),
        ("127.1", 421),
        ("%6cocalhost", 421),
        ("", 400),
        (":8080", 400),
        ("localhost:x", 400),
        ("localhost:65536", 400),
        ("localhost:+80", 400),
        ("::1", 400),
        ("[::1", 400),
        ("[::1]x", 400),
        ("[localhost]", 400),
        ("[]", 400),
        ("user@localhost", 400),
        ("localhost/evil", 400),
        ("local host", 400),
        ("localhost, evil", 400),
    ] {
        let request = request(Version::HTTP_11, "/jobs", &[("host", host)]);
        assert_eq!(status(&request), expected, "{host:?}");
    }
}

#[test]
fn the_table_of_versions() {
    let (own, foreign) = (("host", "localhost"), ("host", "rebound.example"));
    for (version, target, headers, expected) in [
        (Version::HTTP_11, "/", &[][..], 400),
        (Version::HTTP_11, "/", &[own, own], 400),
        (Version::HTTP_11, "/", &[own, foreign], 400),
        (Version::HTTP_10, "/", &[], 200),
        (Version::HTTP_10, "/", &[own], 200),
        (Version::HTTP_10, "/", &[own, own], 400),
        (Version::HTTP_10, "/", &[foreign], 421),
        // The target goes before the header, which must be there all the same.
        (Version::HTTP_11, "http://localhost/", &[foreign], 200),
        (Version::HTTP_11, "http://rebound.example/", &[own], 421),
        (Version::HTTP_11, "http://localhost/", &[], 400),
        (Version::HTTP_2, "http://localhost:1/", &[], 200),
        (Version::HTTP_2, "http://localhost/", &[own], 200),
        (Version::HTTP_2, "http://rebound.example/", &[], 421),
        (Version::HTTP_2, "http://localhost/", &[foreign], 400),
        (Version::HTTP_2, "http://user@localhost/", &[], 400),
        (Version::HTTP_2, "/", &[own], 200),
        (Version::HTTP_2, "/", &[foreign], 421),
        (Version::HTTP_2, "/", &[], 400),
    ] {
        let request = request(version, target, headers);
        assert_eq!(
            status(&request),
            expected,
            "{version:?} {target} {headers:?}"
        );
    }
}

#[test]
fn the_table_of_origins() {
    for (host, origins, expected) in [
        ("localhost:8081", &[][..], 200),
        ("localhost:8081", &["http://localhost:8081"], 200),
        ("localhost:8081", &["https://LOCALHOST:8081"], 200),
        ("127.0.0.1:8081", &["http://localhost:8081"], 403),
        ("localhost:8081", &["http://localhost"], 403),
        ("localhost:8081", &["http://localhost:8082"], 403),
        ("localhost:8081", &["http://evil.example"], 403),
        ("localhost:8081", &["null"], 403),
        ("localhost:8081", &[""], 403),
        (
            "localhost:8081",
            &["http://localhost:8081", "http://evil.example"],
            403,
        ),
        ("rebound.example", &["http://rebound.example"], 421),
    ] {
        let host = [("host", host)].into_iter();
        let headers = host.chain(origins.iter().map(|it| ("origin", *it)));
        let request = request(Version::HTTP_11, "/flush", &headers.collect::<Vec<_>>());
        assert_eq!(status(&request), expected, "{request:?}");
    }
}

#[test]
fn other_addresses_may_have_any_name() {
    let foreign = request(Version::HTTP_11, "/", &[("host", "any.example")]);
    let names = HostNames::default();
    for (address, refused) in [
        (Some("127.0.0.1"), true),
        (Some("127.8.9.1"), true),
        (Some("::1"), true),
        (Some("::ffff:127.0.0.1"), true),
        (Some("192.0.2.7"), false),
        (Some("::ffff:192.0.2.7"), false),
        (None, false),
    ] {
        let reached = Reached::Tcp(address.map(|it| it.parse().unwrap()));
        let gate = Gate::of_caller(&names, reached);
        assert_eq!(gate.check(&foreign).is_err(), refused, "{address:?}");
        let none = request(Version::HTTP_11, "/", &[]);
        assert!(gate.check(&none).is_err(), "{address:?}");
    }
}

#[test]
fn no_page_gets_to_a_socket() {
    let names = HostNames::default();
    let any = ("host", "any.example");
    let post = |headers: &[_]| request(Version::HTTP_11, "/flush", headers);
    for gate in [
        Gate::of_caller(&names, Reached::Unix),
        Gate::of_operator(&names, Reached::Unix),
    ] {
        for (headers, expected) in [
            (&[any][..], 200),
            (&[any, ("origin", "http://evil.example")], 200),
            // HTTP's own rules hold.
            (&[], 400),
            (&[any, any], 400),
            (&[("host", "[::1")], 400),
        ] {
            assert_eq!(said(&gate, &post(headers)), expected, "{headers:?}");
        }
    }
}

#[test]
fn a_host_that_was_let_through_opens_the_gate_for_no_other() {
    let gate = Gate::of_caller(&HostNames::default(), LOOPBACK);
    let (own, foreign) = (("host", "localhost"), ("host", "rebound.example"));
    let jobs = |headers: &[_]| request(Version::HTTP_11, "/jobs", headers);
    assert_eq!(said(&gate, &jobs(&[own])), 200);
    for (request, expected) in [
        (jobs(&[own]), 200),
        (jobs(&[("host", "127.0.0.1")]), 200),
        (jobs(&[foreign]), 421),
        (jobs(&[own, own]), 400),
        (jobs(&[own, foreign]), 400),
        (jobs(&[]), 400),
        (
            request(Version::HTTP_11, "http://rebound.example/", &[own]),
            421,
        ),
        (
            request(Version::HTTP_2, "http://rebound.example/", &[]),
            421,
        ),
        (
            request(Version::HTTP_2, "http://rebound.example/", &[own]),
            400,
        ),
    ] {
        assert_eq!(said(&gate, &request), expected, "{request:?}");
    }
    // An operator's is looked at again, for its origin.
    let gate = Gate::of_operator(&HostNames::default(), Reached::Tcp(None));
    assert_eq!(said(&gate, &jobs(&[own])), 200);
    assert_eq!(
        said(&gate, &jobs(&[own, ("origin", "http://evil.example")])),
        403
    );
}
