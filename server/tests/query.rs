//! `/query`: how requests are read and answers are framed, byte by byte.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::allow_attributes,
    reason = "a test stops where it fails, and says what it skips"
)]

mod support;

use serde_json::json;
use support::{Server, directory, now_ns};

const FORM: (&str, &str) = ("Content-Type", "application/x-www-form-urlencoded");

/// A server with three points a second apart in `m`, the first at the returned second.
fn filled(data: &tempfile::TempDir) -> (Server, i64) {
    let server = Server::start(data.path());
    let second = now_ns() / 1_000_000_000 - 60;
    let lines: String = (0..3)
        .map(|i| format!("m,host=a v={i}i {}\n", (second + i) * 1_000_000_000))
        .collect();
    server.write("k8s", &lines);
    (server, second)
}

#[test]
fn no_data_is_one_result_without_series() {
    let data = directory();
    let server = Server::start(data.path());
    let answer = server
        .client
        .query("k8s", "SELECT * FROM nothing", "&epoch=ms");
    assert_eq!(answer.text(), "{\"results\":[{\"statement_id\":0}]}\n");
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(server.client.query("k8s", ";", "").text(), "{}\n");
}

#[test]
fn epoch_chooses_the_unit_of_times() {
    let data = directory();
    let (server, second) = filled(&data);
    let time = |more: &str| {
        let answer = server.query("k8s", "SELECT v FROM m LIMIT 1", more);
        answer["results"][0]["series"][0]["values"][0][0].clone()
    };
    assert_eq!(time("&epoch=s"), second);
    assert_eq!(time("&epoch=ms"), second * 1_000);
    assert_eq!(time("&epoch=u"), second * 1_000_000);
    assert_eq!(time("&epoch=ns"), second * 1_000_000_000);
    assert_eq!(time("&epoch=unknown"), second * 1_000_000_000);
    assert_eq!(time("&epoch=m"), second / 60);
    assert_eq!(time("&epoch=h"), second / 3600);
    let text = time("");
    let text = text.as_str().unwrap();
    assert!(text.len() == 20 && text.ends_with('Z'), "{text}");
}

#[test]
fn parameters_come_from_address_and_form_mixed() {
    let data = directory();
    let (server, second) = filled(&data);
    let expected = format!(
        "{{\"results\":[{{\"statement_id\":0,\"series\":[{{\"name\":\"m\",\"columns\":[\"time\",\"v\"],\
         \"values\":[[{second},0]]}}]}}]}}\n"
    );
    let body = b"q=SELECT+v+FROM+m+LIMIT+1";
    let mixed = server
        .client
        .send("POST", "/query?db=k8s&epoch=s&q=nonsense", &[FORM], body);
    assert_eq!(mixed.text(), expected, "the form wins");
    let get = "/query?db=k8s&epoch=s&q=SELECT%20v%20FROM%20m%20LIMIT%201";
    assert_eq!(server.client.get(get).text(), expected);
    let json_body = [("Content-Type", "application/json")];
    let unread = server
        .client
        .send("POST", get, &json_body, b"{\"q\":\"nonsense\"}");
    assert_eq!(unread.text(), expected, "a JSON body is not parsed");
}

#[test]
fn pretty_is_indented_by_four() {
    let data = directory();
    let (server, second) = filled(&data);
    let answer = server
        .client
        .query("k8s", "SELECT v FROM m LIMIT 1", "&epoch=s&pretty=true");
    let expected = format!(
        r#"{{
    "results": [
        {{
            "statement_id": 0,
            "series": [
                {{
                    "name": "m",
                    "columns": [
                        "time",
                        "v"
                    ],
                    "values": [
                        [
                            {second},
                            0
                        ]
                    ]
                }}
            ]
        }}
    ]
}}
"#
    );
    assert_eq!(answer.text(), expected);
}

#[test]
fn chunks_are_documents_a_line_with_partial_while_more_follow() {
    let data = directory();
    let (server, second) = filled(&data);
    let more = "&epoch=s&chunked=true&chunk_size=2";
    let answer = server
        .client
        .query("k8s", "SELECT v FROM m; SHOW DATABASES", more);
    let text = answer.text();
    let lines: Vec<&str> = text.lines().collect();
    let expected = [
        format!(
            "{{\"results\":[{{\"statement_id\":0,\"series\":[{{\"name\":\"m\",\"columns\":[\"time\",\"v\"],\
             \"values\":[[{second},0],[{},1]],\"partial\":true}}],\"partial\":true}}]}}",
            second + 1
        ),
        format!(
            "{{\"results\":[{{\"statement_id\":0,\"series\":[{{\"name\":\"m\",\"columns\":[\"time\",\"v\"],\
             \"values\":[[{},2]]}}]}}]}}",
            second + 2
        ),
        "{\"results\":[{\"statement_id\":1,\"series\":[{\"name\":\"databases\",\
         \"columns\":[\"name\"],\"values\":[[\"_internal\"],[\"k8s\"]]}]}]}"
            .to_owned(),
    ];
    assert_eq!(lines, expected);
    assert!(text.ends_with('\n'));
    let empty = server.client.query("k8s", "SELECT v FROM nothing", more);
    assert_eq!(empty.text(), "{\"results\":[{\"statement_id\":0}]}\n");
}

#[test]
fn answers_are_packed_for_who_asks_for_it() {
    let data = directory();
    let (server, _) = filled(&data);
    let path = "/query?db=k8s&q=SELECT+v+FROM+m";
    let plain = server.client.get(path);
    assert_eq!(plain.header("content-encoding"), "");
    for accept in ["gzip", "gzip, deflate, br, zstd", "deflate, gzip;q=0.5"] {
        let packed = server
            .client
            .send("GET", path, &[("Accept-Encoding", accept)], b"");
        assert_eq!(packed.header("content-encoding"), "gzip");
        assert_eq!(packed.text(), plain.text());
    }
    let chunked = format!("{path}&chunked=true&chunk_size=1");
    let packed = server
        .client
        .send("GET", &chunked, &[("Accept-Encoding", "gzip")], b"");
    assert_eq!(packed.text(), server.client.get(&chunked).text());
    let refused = server
        .client
        .send("GET", path, &[("Accept-Encoding", "gzip;q=0")], b"");
    assert_eq!(refused.header("content-encoding"), "");
}

#[test]
fn an_error_ends_the_request_statement_by_statement() {
    let data = directory();
    let (server, _) = filled(&data);
    let text = "SHOW DATABASES; SELECT * FROM x.y.m; SHOW DATABASES";
    let answer = server.client.query("k8s", text, "");
    assert_eq!(
        answer.text(),
        "{\"results\":[{\"statement_id\":0,\"series\":[{\"name\":\"databases\",\"columns\":[\"name\"],\
         \"values\":[[\"_internal\"],[\"k8s\"]]}]},{\"statement_id\":1,\"error\":\"database not found: x\"},\
         {\"statement_id\":2,\"error\":\"not executed\"}]}\n"
    );
}

#[test]
fn a_get_that_changes_something_works_with_a_warning() {
    let data = directory();
    let server = Server::start(data.path());
    let answer = server
        .client
        .get("/query?q=CREATE+DATABASE+%22made+by+get%22");
    assert_eq!(
        answer.text(),
        "{\"results\":[{\"statement_id\":0,\"messages\":[{\"level\":\"warning\",\"text\":\
         \"deprecated use of 'CREATE DATABASE \\\"made by get\\\"' in a read only context, \
         please use a POST request instead\"}]}]}\n"
    );
    let posted = server.client.query("", "CREATE DATABASE posted", "");
    assert_eq!(posted.text(), "{\"results\":[{\"statement_id\":0}]}\n");
    let answer = server.query("", "SHOW DATABASES", "");
    assert_eq!(
        answer["results"][0]["series"][0]["values"],
        json!([["_internal"], ["k8s"], ["made by get"], ["posted"]])
    );
}

#[test]
fn bound_parameters_are_put_in() {
    let data = directory();
    let (server, second) = filled(&data);
    let select = "SELECT v FROM m WHERE host = $h AND v > $n";
    let params = support::http::encode("{\"h\":\"a\",\"n\":1}");
    let answer = server.query("k8s", select, &format!("&epoch=s&params={params}"));
    assert_eq!(
        answer["results"][0]["series"][0]["values"],
        json!([[second + 2, 2]])
    );
    for nothing in ["%7B%7D", "null"] {
        let answer = server.query("k8s", "SHOW DATABASES", &format!("&params={nothing}"));
        assert_eq!(answer["results"][0]["series"][0]["name"], "databases");
    }
    let answer = server.client.query("k8s", "SHOW DATABASES", "&params=x");
    assert_eq!(answer.status, 400);
    assert!(
        answer
            .error()
            .starts_with("error parsing query parameters: "),
        "{}",
        answer.error()
    );
}

#[test]
fn csv_is_given_to_who_accepts_it() {
    let data = directory();
    let (server, second) = filled(&data);
    let path = "/query?db=k8s&q=SELECT+v+FROM+m+GROUP+BY+host+LIMIT+1";
    let answer = server
        .client
        .send("GET", path, &[("Accept", "application/csv")], b"");
    assert_eq!(answer.header("content-type"), "application/csv");
    assert_eq!(
        answer.text(),
        format!("name,tags,time,v\nm,host=a,{second}000000000,0\n")
    );
    let wrong = server
        .client
        .send("GET", "/query?q=SELEC", &[("Accept", "text/csv")], b"");
    assert_eq!(
        (wrong.status, wrong.header("content-type")),
        (400, "text/csv")
    );
    assert!(
        wrong.text().starts_with("error\n\"error parsing query: "),
        "{}",
        wrong.text()
    );
}

#[test]
fn a_row_limit_cuts_what_is_not_chunked() {
    let data = directory();
    let config = data.path().join("c.toml");
    std::fs::write(&config, "max_row_limit = 2\n").unwrap();
    let flags = ["--no-cgroup", "--config", &config.to_string_lossy()];
    let server = Server::start_with(data.path(), &flags);
    let second = now_ns() / 1_000_000_000 - 60;
    let lines: String = (0..3)
        .map(|i| format!("m v={i}i {}000000000\n", second + i))
        .collect();
    server.write("k8s", &lines);
    let cut = server.query("k8s", "SELECT v FROM m", "&epoch=s");
    let series = &cut["results"][0]["series"][0];
    assert_eq!(series["values"].as_array().unwrap().len(), 2);
    assert_eq!(
        (&series["partial"], &cut["results"][0]["partial"]),
        (&json!(true), &json!(null))
    );
    let whole = server
        .client
        .query("k8s", "SELECT v FROM m", "&chunked=true");
    assert_eq!(whole.text().matches("Z\",").count(), 3, "{}", whole.text());
}

#[test]
fn an_asynchronous_query_is_answered_at_once_and_runs() {
    let data = directory();
    let server = Server::start(data.path());
    let answer = server
        .client
        .query("", "CREATE DATABASE later", "&async=true");
    assert_eq!((answer.status, answer.text().as_str()), (204, ""));
    support::eventually("the database", || {
        let text = server.client.query("", "SHOW DATABASES", "").text();
        text.contains("later").then_some(())
    });
}

#[test]
fn msgpack_is_answered_where_it_is_asked_for() {
    let data = directory();
    let (server, second) = filled(&data);
    let headers = [("Accept", "application/x-msgpack")];
    let ask = |more: &str| {
        let path = format!("/query?db=k8s&epoch=s&q={more}");
        server.client.send("GET", &path, &headers, b"")
    };
    let answer = ask("SELECT+v+FROM+m+LIMIT+1");
    assert_eq!(answer.header("content-type"), "application/x-msgpack");
    let mut expected = b"\x81\xa7results\x91\x82\xacstatement_id\x00\xa6series\x91".to_vec();
    expected.extend_from_slice(b"\x83\xa4name\xa1m\xa7columns\x92\xa4time\xa1v");
    expected.extend_from_slice(b"\xa6values\x91\x92\xce");
    expected.extend_from_slice(&u32::try_from(second).unwrap().to_be_bytes());
    expected.push(0);
    assert_eq!(answer.body, expected);
    let answer = ask("SELECT+v+FROM+m&chunked=true");
    assert_eq!(answer.header("content-type"), "application/json");
    let answer = ask("SELEC");
    assert_eq!(answer.status, 400);
    assert!(answer.body.starts_with(b"\x81\xa5error\xd9"), "{answer:?}");
}
