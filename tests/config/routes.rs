//! Stories about routes, shapes and passthrough in the configuration.

use crate::check::Check;

/// A file with a route `a`, and what else is said of it.
fn route(rest: &str) -> String {
    format!("[routes.a]\npath = \"/a/{{m}}\"\nupstream.url = \"http://h/\"\n{rest}")
}

#[test]
fn a_route_is_all_it_needs() {
    let answer = Check::new().file(route("")).run().fine();
    assert_eq!(answer.stderr, "");
    assert!(!answer.stdout.contains("\nurl = \"http://h/\"\nmax"));
    let expected = "\n[routes.a]\npath = \"/a/{m}\"\n\n[routes.a.upstream]\nurl = \"http://h/\"\n";
    assert!(answer.stdout.ends_with(expected), "{}", answer.stdout);
    // By variables alone, and with a name that has two underscores.
    let answer = Check::new()
        .env("MICROBATCH_ROUTES__A__B__PATH", "/b")
        .env("MICROBATCH_ROUTES__A__B__UPSTREAM__URL", "http://b/{{")
        .env("MICROBATCH_ROUTES__A__B__SHAPE", "ndjson")
        .run()
        .fine();
    let expected = "\n[routes.a__b]\nshape = \"ndjson\"\npath = \"/b\"\n";
    assert!(answer.stdout.contains(expected), "{}", answer.stdout);
}

#[test]
fn each_mistake_of_a_route_is_named_with_its_line_and_key() {
    for (rest, expected) in [
        (
            "[routes.jobs]\nbatch.max_size = 3",
            "m.toml:4: routes.jobs: is the route of the top-level sections: write what it has there, without [routes]",
        ),
        (
            "[routes.B]\npath = \"/b\"",
            "m.toml:4: routes.B: a route's name is a small letter, and up to 31 small letters, digits and underscores",
        ),
        (
            "[routes]\nb = 3",
            "m.toml:5: routes.b: must be a section [routes.b], not an integer",
        ),
        (
            "[[routes.b]]\npath = \"/b\"",
            "m.toml:4: routes.b: must be a section [routes.b], not an array",
        ),
        (
            "[routes.b]\nupstream.url = \"http://b/\"",
            "m.toml:4: routes.b.path: is required: the path that callers post to, such as \"/v1/models/{model}\"",
        ),
        (
            "[routes.b]\npath = \"/b\"",
            "m.toml:4: routes.b.upstream.url: is required: no route inherits where another one calls",
        ),
        (
            "[routes.b]\npath = \"b\"\nupstream.url = \"http://b/\"",
            "m.toml:5: routes.b.path: must be an absolute path in printable ASCII such as \"/v1/models/{model}\", not \"b\"",
        ),
        (
            "[routes.b]\npath = \"/a/{n}\"\nupstream.url = \"http://b/\"",
            "m.toml:5: routes.b.path: would match what /a/{m} does, the path of the route a",
        ),
        (
            "[routes.b]\npath = \"/healthz\"\nupstream.url = \"http://b/\"",
            "m.toml:5: routes.b.path: /healthz is a path of the proxy itself",
        ),
        (
            "[routes.b]\npath = \"/jobs/{id}\"\nupstream.url = \"http://b/\"",
            "m.toml:5: routes.b.path: /jobs/… is a path of the proxy itself",
        ),
        (
            "[routes.b]\npath = \"/b/{*m}/c\"\nupstream.url = \"http://b/\"",
            "m.toml:5: routes.b.path: Catch-all parameters are only allowed at the end of a route; a placeholder ends its segment, such as {model}, or the path, such as {*rest}",
        ),
        (
            "upstream.alone_url = \"http://b/{n}\"\nshape = \"kserve-v1\"",
            "m.toml:4: routes.a.upstream.alone_url: the route's path has no {n}",
        ),
        (
            "forward_headers = [\"a\", \"Host\"]",
            "m.toml:4: routes.a.forward_headers: host of a caller cannot travel: it names the proxy, and the upstream has a name of its own",
        ),
        (
            "forward_headers = [\"TE\"]",
            "m.toml:4: routes.a.forward_headers: te of a caller cannot travel: it frames the message, which the proxy does",
        ),
        (
            "forward_headers = [\"a\", \"A\"]",
            "m.toml:4: routes.a.forward_headers: has a twice: header names ignore case",
        ),
        (
            "forward_headers = [\"a b\"]",
            "m.toml:4: routes.a.forward_headers: must be a list of header names such as [\"authorization\"]; \"a b\" is none",
        ),
        (
            "batch.max_siz = 3",
            "m.toml:4: routes.a.batch.max_siz: unknown key; did you mean routes.a.batch.max_size?",
        ),
        (
            "bacth.max_size = 3",
            "m.toml:4: routes.a.bacth: unknown section; did you mean [routes.a.batch]?",
        ),
        (
            "later.keep = \"1s\"",
            "m.toml:4: routes.a.later: is the whole proxy's, and no route has one of its own: later stands at the top level",
        ),
        (
            "upstream.results = \"none\"",
            "m.toml:4: routes.a.upstream.results: is said by the route's shape: routes.a.shape.results, \"none\", or a pointer",
        ),
        (
            "shape = 3",
            "m.toml:4: routes.a.shape: must be the name of a shape, or a table of its keys, not an integer",
        ),
        (
            "shape = \"zebra\"",
            "m.toml:4: routes.a.shape: there is no shape \"zebra\"; there are \"cloudevents\", \"elasticsearch-index\", \"graphql\", \"jobs\", \"json-rpc\", \"kserve-v1\", \"ndjson\", \"openai-embeddings\"",
        ),
        (
            "shape = \"json_rpc2\"",
            "m.toml:4: routes.a.shape: there is no shape \"json_rpc2\"; did you mean \"json-rpc\"?",
        ),
        (
            "\n[routes.a.shape]\n\nlike = \"grapql\"",
            "m.toml:7: routes.a.shape.like: there is no shape \"grapql\"; did you mean \"graphql\"?",
        ),
        (
            "[routes.a.shape]\nresult = \"\"\nresutls = \"\"",
            "m.toml:6: routes.a.shape.resutls: unknown key; did you mean routes.a.shape.results?",
        ),
        (
            "shape.nan = \"yes\"",
            "m.toml:4: routes.a.shape.nan: must be true or false, not a string",
        ),
        (
            "shape.accept = \"a/b\"",
            "m.toml:4: routes.a.shape.accept: must be a list of strings, not a string",
        ),
        (
            "shape.answers = [true]",
            "m.toml:4: routes.a.shape.answers: must be a list of strings or of statuses, not an array",
        ),
        (
            "shape.error_status = 70000",
            "m.toml:4: routes.a.shape.error_status: must be a status, not 70000",
        ),
        (
            "shape.error_status = 99",
            "m.toml:4: routes.a.shape.error_status: 99 is no status from 200 to 599",
        ),
        (
            "[routes.a.shape]\ncall = \"item\"\nreply_headers = [\"set-cookie\"]",
            "m.toml:6: routes.a.shape.reply_headers: set-cookie of an answer is not for every caller",
        ),
        (
            "[routes.a.shape]\ncall = \"job\"\nids = \"no\"\nlone = \"maybe\"",
            "m.toml:6: routes.a.shape.ids: \"no\" is none of \"keep\", \"rewrite\"\nm.toml:7: routes.a.shape.lone: \"maybe\" is none of \"as-is\", \"batch\"",
        ),
        (
            "[routes.b]\npath = \"/b\"\nupstream.url = \"http://b/{m}\"",
            "m.toml:6: routes.b.upstream.url: the route's path has no {m}",
        ),
        (
            "[upstream]\nurl = \"http://b/{m}\"",
            "m.toml:5: upstream.url: the route's path has no {m}",
        ),
        (
            "[passthrough]\nurl = \"h\"",
            "m.toml:5: passthrough.url: must start with http://, https:// or unix:/",
        ),
        (
            "[passthrough]\nurl = \"http://h/{x}\"",
            "m.toml:5: passthrough.url: the route's path has no {x}",
        ),
        (
            "batch.max_bytes = \"1KiB\"",
            "server.max_body = 256KiB (default) + 2 is more than routes.a.batch.max_bytes = 1KiB (m.toml:4): the largest job alone must fit a batch with its brackets; lower server.max_body or raise batch.max_bytes",
        ),
    ] {
        let answer = Check::new().file(route(rest)).run();
        assert_eq!(answer.mistakes().join("\n"), expected, "{rest}");
    }
    // A path is of no use at the top level.
    let answer = Check::with_upstream("path = \"/a\"").run();
    let expected =
        "m.toml:1: path: is a route's, in [routes.NAME]; that of the top level's route is /jobs";
    assert_eq!(answer.mistakes(), [expected]);
    // What the preset has of the path stands at its name.
    let file = route("shape = \"elasticsearch-index\"");
    let answer = Check::new().file(file).run();
    let [only] = answer.mistakes()[..] else {
        panic!("{}", answer.stderr);
    };
    assert!(
        only.starts_with("m.toml:4: routes.a.shape.item: "),
        "{only}"
    );
}

#[test]
fn mistakes_of_a_route_s_variables_name_the_variable() {
    for (name, value, expected) in [
        (
            "MICROBATCH_ROUTES__A__BATCH__MAX_SIZE",
            "0",
            "routes.a.batch.max_size: must be a whole number from 1 to 100000, not \"0\"",
        ),
        (
            "MICROBATCH_ROUTES__A__BATCH__MAX_SIZ",
            "1",
            "routes.a.batch.max_siz: unknown key; did you mean MICROBATCH_ROUTES__A__BATCH__MAX_SIZE?",
        ),
        (
            "MICROBATCH_ROUTES__A__BACTH__MAX_SIZE",
            "1",
            "routes.a.bacth.max_size: unknown section; did you mean MICROBATCH_ROUTES__A__BATCH__…?",
        ),
        (
            "MICROBATCH_ROUTES__A",
            "1",
            "routes.a: names a route, and nothing of it",
        ),
        (
            "MICROBATCH_ROUTES__A__SHAPE__NAM",
            "1",
            "routes.a.shape.nam: unknown key; did you mean MICROBATCH_ROUTES__A__SHAPE__NAN?",
        ),
        (
            "MICROBATCH_SHAPE__RESULT",
            "a",
            "shape.result: \"a\": it is a JSON Pointer, \"\" for all of a result, or \"/*\" for its only member",
        ),
        (
            "MICROBATCH_UPSTREAM__RESULTS",
            "none",
            "upstream.results: is said by the route's shape: MICROBATCH_SHAPE__RESULTS, \"none\", or a pointer",
        ),
        (
            "MICROBATCH_UPSTREAM__JOB_ERROR_STATUS",
            "422",
            "upstream.job_error_status: is said by the route's shape: MICROBATCH_SHAPE__ERROR_STATUS, a status",
        ),
    ] {
        let file = route("") + "[upstream]\nurl = \"http://h/\"\n";
        let answer = Check::new().file(file).env(name, value).run();
        assert_eq!(answer.mistakes(), [format!("{name}: {expected}")]);
    }
}

#[test]
fn there_are_no_more_routes_than_sixty_four() {
    let file = |count: usize| {
        let routes = (1..=count)
            .map(|i| format!("[routes.r{i}]\npath = \"/r{i}\"\nupstream.url = \"http://h/\"\n"));
        routes.collect::<String>()
    };
    Check::new().file(file(64)).run().fine();
    Check::with_upstream(&file(63)).run().fine();
    for check in [Check::new().file(file(65)), Check::with_upstream(&file(64))] {
        let expected = "routes: there are 65, and at most 64 may be";
        assert_eq!(check.run().mistakes(), [expected]);
    }
}

#[test]
fn layers_of_a_shape_lie_over_each_other_key_by_key() {
    let table = "[routes.a.shape]\nlike = \"kserve-v1\"\nnan = false\n";
    for (rest, variables, expected) in [
        (table, &[][..], "like = \"kserve-v1\"\nnan = false\n"),
        (
            table,
            &[("NAN", "true"), ("ANSWERS", "2xx,500")],
            "like = \"kserve-v1\"\nanswers = [\"2xx\", 500]\nnan = true\n",
        ),
        (
            table,
            &[("REPLY_HEADERS", "[\"a\", \"b\"]"), ("ERROR_STATUS", "500")],
            "like = \"kserve-v1\"\nerror_status = 500\nreply_headers = [\"a\", \"b\"]\nnan = false\n",
        ),
        (
            "shape = \"kserve-v1\"",
            &[("NAN", "false")],
            "like = \"kserve-v1\"\nnan = false\n",
        ),
    ] {
        let mut check = Check::new().file(route(rest));
        for (key, value) in variables {
            check = check.env(&format!("MICROBATCH_ROUTES__A__SHAPE__{key}"), value);
        }
        let printed = check.run().fine().stdout;
        let expected = format!("\n[routes.a.shape]\n{expected}");
        assert!(printed.ends_with(&expected), "{printed}");
    }
    // A name replaces what is below it.
    let check = Check::new().file(route(table));
    let printed = check
        .env("MICROBATCH_ROUTES__A__SHAPE", "graphql")
        .run()
        .fine()
        .stdout;
    assert!(
        printed.contains("[routes.a]\nshape = \"graphql\"\n"),
        "{printed}"
    );
    assert!(!printed.contains("nan"), "{printed}");
}

#[test]
fn what_is_printed_of_routes_can_be_fed_back() {
    let file = route(
        "forward_headers = [\"X-Tenant\"]\nbatch.max_size = 3\nretry.budget = 1\n\
         upstream.headers = { Authorization = \"s3cret\" }\n\
         upstream.alone_url = \"https://u:s3cret@h/a/{m}?k=s3cret\"\n\
         [routes.a.shape]\ncall = \"item\"\nbatch = \"$items\\n\"\njoin = \"\\n\"\n\
         content_type = \"application/x-ndjson\"\nresults = \"none\"\n\
         problem = '{\"error\":$detail}'\n\
         [routes.b]\npath = \"/b\"\nshape = \"json-rpc\"\nupstream.url = \"http://b/\"\n\
         [passthrough]\nurl = \"http://s3cret@h/\"\n[batch]\nmax_size = 7\n",
    );
    let first = Check::new().file(file).run().fine();
    let again = Check::new().file(&first.stdout).run().fine();
    assert_eq!(again.stdout, first.stdout);
    assert!(!first.stdout.contains("s3cret"), "{}", first.stdout);
    for line in [
        "forward_headers = [\"x-tenant\"]",
        "alone_url = \"https://***:***@h/a/{m}?k=***\"",
        "headers = { \"authorization\" = \"***\" }",
        "batch = \"$items\\n\"",
        "problem = '{\"error\":$detail}'",
        "[passthrough]\nurl = \"http://***@h/\"",
        "max_size = 7",
        "max_size = 3",
    ] {
        assert!(first.stdout.contains(&format!("\n{line}\n")), "{line}");
    }
}

#[test]
fn what_of_a_route_cannot_be_useful_is_a_warning() {
    for (file, expected) in [
        (
            route("upstream.alone_url = \"http://b/\""),
            "routes.a.upstream.alone_url (m.toml:4) is not used: jobs are refused rather than sent alone",
        ),
        (
            route("forward_headers = [\"x-a\"]\nupstream.headers = { X-A = \"s3cret\" }"),
            "routes.a.forward_headers (m.toml:4) has x-a, which routes.a.upstream.headers has too: that is sent in place of a caller's",
        ),
        (
            format!("shape = \"graphql\"\n{}", route("")),
            "shape (m.toml:1) is not used: without upstream.url there is no route jobs, and no other inherits it",
        ),
        (
            route("queue.max_jobs = 9"),
            "routes.a.queue.max_jobs = 9 (m.toml:4) is less than batch.max_size = 100 (default): no batch will ever be full",
        ),
        (
            // Said once, whoever inherits it.
            format!(
                "queue.max_jobs = 9\n{}[upstream]\nurl = \"http://h/\"",
                route("")
            ),
            "queue.max_jobs = 9 (m.toml:1) is less than batch.max_size = 100 (default): no batch will ever be full",
        ),
    ] {
        let answer = Check::new().file(file).run().fine();
        assert_eq!(answer.stderr, format!("warning: {expected}\n"));
    }
    // What is too large for a batch goes alone there.
    let file = route("batch.max_bytes = \"1KiB\"\nshape = \"kserve-v1\"");
    assert_eq!(Check::new().file(file).run().fine().stderr, "");
}
