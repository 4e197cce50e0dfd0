//! Users and privileges over HTTP: who is let in, what they may do, and InfluxDB's words for it.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as expected"
)]

mod support;

use serde_json::json;
use support::http::Answer;
use support::{Client, Server, directory};

/// A server that asks who it is, with the admin `root` and the users `reader` and `writer`.
fn guarded(data: &std::path::Path) -> Server {
    let server = start(data, &[]);
    let admin = "CREATE USER root WITH PASSWORD 'tiger' WITH ALL PRIVILEGES";
    let answer = server.client.query("", admin, "");
    assert_eq!(answer.status, 200, "{}", answer.text());
    for text in [
        "CREATE DATABASE db",
        "CREATE DATABASE other",
        "CREATE USER reader WITH PASSWORD 'r'",
        "CREATE USER writer WITH PASSWORD 'w'",
        "GRANT READ ON db TO reader",
        "GRANT WRITE ON db TO writer",
    ] {
        let answer = asked(&server.client, "root:tiger", "", text);
        assert_eq!(
            answer.text(),
            "{\"results\":[{\"statement_id\":0}]}\n",
            "{text}"
        );
    }
    server
}

fn start(data: &std::path::Path, more: &[(&str, &str)]) -> Server {
    let mut command = support::plimsoll();
    command
        .args(["serve", "--no-cgroup", "--listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .env("PLIMSOLL_AUTH_ENABLED", "true")
        .env("PLIMSOLL_MONITOR_STORE_ENABLED", "false")
        .envs(more.iter().copied());
    Server::spawn(&mut command)
}

fn asked(client: &Client, user: &str, database: &str, text: &str) -> Answer {
    let path = format!("/query?db={database}&q={}", support::http::encode(text));
    client.send(
        "POST",
        &path,
        &[("Authorization", &format!("Token {user}"))],
        b"",
    )
}

fn written(client: &Client, user: &str, database: &str) -> Answer {
    let token = format!("Token {user}");
    let path = format!("/write?db={database}");
    client.send("POST", &path, &[("Authorization", &token)], b"m x=1 1")
}

#[test]
fn before_there_is_an_admin_one_can_only_be_made() {
    let data = directory();
    let server = start(data.path(), &[]);
    let refused = server.client.query("", "SHOW DATABASES", "");
    assert_eq!(refused.status, 403);
    assert_eq!(
        refused.error(),
        "error authorizing query: create admin user first or disable authentication"
    );
    let refused = server
        .client
        .query("", "CREATE USER a WITH PASSWORD 'b'", "");
    assert_eq!(refused.status, 403);
    let write = server.client.post("/write?db=k8s", b"m x=1");
    assert_eq!(write.status, 403);
    assert_eq!(
        write.error(),
        "user is required to write to database \"k8s\""
    );
    let made = "CREATE USER a WITH PASSWORD 'b' WITH ALL PRIVILEGES";
    assert_eq!(server.client.query("", made, "").status, 200);
    let shut = server.client.query("", "SHOW DATABASES", "");
    assert_eq!(shut.status, 401);
    assert_eq!(shut.error(), "unable to parse authentication credentials");
    assert_eq!(shut.header("www-authenticate"), "Basic realm=\"InfluxDB\"");
}

#[test]
fn credentials_come_in_every_way_that_influxdb_takes() {
    let data = directory();
    let server = guarded(data.path());
    let path = "/query?q=SHOW+DATABASES";
    let basic = ("Authorization", "Basic cm9vdDp0aWdlcg==");
    for (path, headers) in [
        (&*format!("{path}&u=root&p=tiger"), vec![]),
        (path, vec![basic]),
        (path, vec![("Authorization", "Token root:tiger")]),
    ] {
        let answer = server.client.send("GET", path, &headers, b"");
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    }
    for (header, text) in [
        ("Basic cm9vdDp3cm9uZw==", "authorization failed"),
        ("Token nobody:tiger", "authorization failed"),
        ("Basic OnRpZ2Vy", "username required"),
        ("Bearer a.b.c", "bearer auth disabled"),
        ("Digest x", "unable to parse authentication credentials"),
    ] {
        let answer = server
            .client
            .send("GET", path, &[("Authorization", header)], b"");
        assert_eq!((answer.status, &*answer.error()), (401, text), "{header}");
    }
    let (_, log) = server.stop();
    assert!(!log.contains("tiger"), "{log}");
}

#[test]
fn rights_hold_by_database_and_statement() {
    let data = directory();
    let server = guarded(data.path());
    let client = &server.client;
    assert_eq!(written(client, "writer:w", "db").status, 204);
    let refused = written(client, "reader:r", "db");
    assert_eq!(
        (refused.status, &*refused.error()),
        (
            403,
            "\"reader\" user is not authorized to write to database \"db\""
        )
    );
    assert_eq!(written(client, "writer:w", "other").status, 403);
    assert_eq!(written(client, "root:tiger", "other").status, 204);
    let read = asked(client, "reader:r", "db", "SELECT x FROM m");
    assert!(read.text().contains("\"series\""), "{}", read.text());
    for (user, text, expected) in [
        (
            "writer:w",
            "SELECT x FROM m",
            "writer not authorized to execute statement 'SELECT x FROM m', requires READ on db",
        ),
        (
            "reader:r",
            "SELECT x FROM other..m",
            "reader not authorized to execute statement 'SELECT x FROM other..m', \
             requires READ on other",
        ),
        (
            "reader:r",
            "CREATE USER x WITH PASSWORD 'secret'",
            "reader not authorized to execute statement \
             'CREATE USER x WITH PASSWORD [REDACTED]', requires admin privilege",
        ),
    ] {
        let answer = asked(client, user, "db", text);
        assert_eq!(answer.status, 403, "{text}");
        assert_eq!(
            answer.error(),
            format!("error authorizing query: {expected}")
        );
    }
    let delete = |user: &str| {
        let token = format!("Token {user}");
        let path = "/api/v2/delete?bucket=db";
        let body = br#"{"start":"1970-01-01T00:00:00Z","stop":"1970-01-02T00:00:00Z"}"#;
        client
            .send("POST", path, &[("Authorization", &token)], body)
            .status
    };
    assert_eq!((delete("reader:r"), delete("writer:w")), (403, 200));
    let seen = asked(client, "reader:r", "", "SHOW DATABASES");
    let seen: serde_json::Value = serde_json::from_slice(&seen.body).unwrap();
    assert_eq!(seen["results"][0]["series"][0]["values"], json!([["db"]]));
}

#[test]
fn users_are_shown_changed_and_kept() {
    let data = directory();
    let server = guarded(data.path());
    let ask = |server: &Server, text: &str| {
        let answer = asked(&server.client, "root:tiger", "", text);
        answer.text().trim_end().to_owned()
    };
    let row = |text: &str| format!("{{\"results\":[{{\"statement_id\":0,{text}}}]}}");
    for (text, expected) in [
        (
            "SHOW USERS",
            "\"series\":[{\"columns\":[\"user\",\"admin\"],\"values\":[[\"reader\",false],\
             [\"root\",true],[\"writer\",false]]}]",
        ),
        (
            "SHOW GRANTS FOR reader",
            "\"series\":[{\"columns\":[\"database\",\"privilege\"],\
             \"values\":[[\"db\",\"READ\"]]}]",
        ),
        ("SHOW GRANTS FOR nobody", "\"error\":\"user not found\""),
        (
            "CREATE USER reader WITH PASSWORD 'x'",
            "\"error\":\"user already exists\"",
        ),
        ("DROP USER nobody", "\"error\":\"user not found\""),
        (
            "GRANT READ ON nowhere TO reader",
            "\"error\":\"database not found: nowhere\"",
        ),
        (
            "SET PASSWORD FOR nobody = 'x'",
            "\"error\":\"user not found\"",
        ),
    ] {
        assert_eq!(ask(&server, text), row(expected), "{text}");
    }
    // The same user with the same password and rights is no error, as in InfluxDB.
    let again = ask(&server, "CREATE USER reader WITH PASSWORD 'r'");
    assert_eq!(again, "{\"results\":[{\"statement_id\":0}]}");
    ask(&server, "SET PASSWORD FOR reader = 'new'");
    ask(&server, "REVOKE ALL ON db FROM writer");
    ask(&server, "GRANT ALL PRIVILEGES TO writer");
    server.kill();

    let server = start(data.path(), &[]);
    let client = &server.client;
    assert_eq!(
        asked(client, "reader:r", "db", "SHOW MEASUREMENTS").status,
        401
    );
    assert_eq!(
        asked(client, "reader:new", "db", "SHOW MEASUREMENTS").status,
        200
    );
    assert_eq!(asked(client, "writer:w", "", "SHOW USERS").status, 200);
    ask(&server, "REVOKE ALL PRIVILEGES FROM writer");
    assert_eq!(asked(client, "writer:w", "", "SHOW USERS").status, 403);
    // Rights in a dropped database do not hold in a later one of its name.
    ask(&server, "DROP DATABASE db");
    ask(&server, "CREATE DATABASE db");
    assert_eq!(
        asked(client, "reader:new", "db", "SHOW MEASUREMENTS").status,
        403
    );
    ask(&server, "DROP USER reader");
    assert_eq!(
        asked(client, "reader:new", "db", "SHOW MEASUREMENTS").status,
        401
    );
    let users = std::fs::read_to_string(data.path().join("users")).unwrap();
    assert!(users.contains("$argon2id$") && !users.contains("tiger"));
}

#[test]
fn a_damaged_file_of_users_lets_nobody_in() {
    let data = directory();
    guarded(data.path()).kill();
    let path = data.path().join("users");
    let mut bytes = std::fs::read(&path).unwrap();
    let last = bytes.len() - 3;
    bytes[last] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let mut command = support::plimsoll();
    command
        .args(["serve", "--no-cgroup", "--listen", "127.0.0.1:0", "--data"])
        .arg(data.path());
    let (code, text) = support::ends(&mut command);
    assert_eq!(code, Some(5), "{text}");
    assert!(
        text.contains("users: damaged: its checksum does not match"),
        "{text}"
    );
}

#[test]
fn a_signed_token_names_its_user() {
    let data = directory();
    let secret = data.path().join("secret");
    std::fs::write(&secret, "not so secret\n").unwrap();
    let data = data.path().join("data");
    drop(guarded(&data));
    let server = start(
        &data,
        &[("PLIMSOLL_SHARED_SECRET_FILE", secret.to_str().unwrap())],
    );
    let token = |claims: serde_json::Value, key: &[u8]| {
        let header = jsonwebtoken::Header::new(jsonwebtoken::Algorithm::HS512);
        let key = jsonwebtoken::EncodingKey::from_secret(key);
        jsonwebtoken::encode(&header, &claims, &key).unwrap()
    };
    let ask = |token: &str| {
        let bearer = format!("Bearer {token}");
        let headers = [("Authorization", &*bearer)];
        let answer = server
            .client
            .send("GET", "/query?db=db&q=SHOW+MEASUREMENTS", &headers, b"");
        (answer.status, answer.error())
    };
    let late = json!({"username": "reader", "exp": 4_000_000_000_u64});
    assert_eq!(
        ask(&token(late.clone(), b"not so secret")),
        (200, String::new())
    );
    for (token, text) in [
        (token(late, b"another"), "signature is invalid"),
        (
            token(json!({"username": "reader", "exp": 1}), b"not so secret"),
            "Token is expired",
        ),
        (
            token(
                json!({"username": "nobody", "exp": 4_000_000_000_u64}),
                b"not so secret",
            ),
            "user not found",
        ),
        // {"alg":"none","typ":"JWT"}.{"username":"root","exp":4000000000}, unsigned
        (
            "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.\
             eyJ1c2VybmFtZSI6InJvb3QiLCJleHAiOjQwMDAwMDAwMDB9."
                .to_owned(),
            "invalid token",
        ),
    ] {
        assert_eq!(ask(&token), (401, text.to_owned()));
    }
}

#[test]
fn what_is_public_is_shut_on_request() {
    let data = directory();
    drop(guarded(data.path()));
    for (shut, expected) in [("false", [204, 200, 200]), ("true", [401, 401, 401])] {
        let server = start(data.path(), &[("PLIMSOLL_PING_AUTH_ENABLED", shut)]);
        let found = ["/ping", "/metrics", "/debug/vars"].map(|path| server.client.get(path).status);
        assert_eq!(found, expected);
    }
}

#[test]
fn buckets_are_for_those_who_may() {
    let data = directory();
    let server = guarded(data.path());
    let send = |method: &str, user: &str, path: &str, body: &str| {
        let token = format!("Token {user}");
        let answer =
            server
                .client
                .send(method, path, &[("Authorization", &token)], body.as_bytes());
        let json: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        (answer.status, json)
    };
    let body = r#"{"name":"db/day","retentionRules":[{"everySeconds":86400}]}"#;
    let (status, _) = send("POST", "reader:r", "/api/v2/buckets", body);
    assert_eq!(status, 403);
    let (status, made) = send("POST", "root:tiger", "/api/v2/buckets", body);
    assert_eq!(status, 201, "{made}");
    assert_eq!(made["id"], "db/day");
    assert_eq!(made["retentionRules"][0]["everySeconds"], 86400);
    let (_, listed) = send("GET", "reader:r", "/api/v2/buckets", "");
    let names: Vec<_> = listed["buckets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|b| &b["name"])
        .collect();
    assert_eq!(names, ["db/autogen", "db/day"]);
    let (_, one) = send("GET", "root:tiger", "/api/v2/buckets?limit=1&offset=1", "");
    assert_eq!(one["buckets"].as_array().unwrap().len(), 1);
    let (status, one) = send("GET", "reader:r", "/api/v2/buckets/db%2Fday", "");
    assert_eq!((status, &one["rp"]), (200, &json!("day")));
    let body = r#"{"retentionRules":[{"everySeconds":172800}]}"#;
    let (status, changed) = send("PATCH", "root:tiger", "/api/v2/buckets/db%2Fday", body);
    assert_eq!(status, 200, "{changed}");
    assert_eq!(changed["retentionRules"][0]["everySeconds"], 172_800);
    assert_eq!(
        send("DELETE", "reader:r", "/api/v2/buckets/db%2Fday", "").0,
        403
    );
    assert_eq!(
        send("DELETE", "root:tiger", "/api/v2/buckets/db%2Fday", "").0,
        200
    );
    assert_eq!(
        send("GET", "root:tiger", "/api/v2/buckets/db%2Fday", "").0,
        404
    );
    let (status, refused) = send("GET", "root:tiger", "/api/v2/buckets/db%2Fday/labels", "");
    assert_eq!(
        (status, &refused["error"]),
        (405, &json!("bucket labels not supported in this version"))
    );
    assert_eq!(send("GET", "root:tiger", "/api/v2/buckets/db", "").0, 400);
    assert_eq!(send("POST", "root:tiger", "/api/v2/buckets", "{").0, 400);
}

#[test]
fn the_command_line_logs_in() {
    let data = directory();
    let server = guarded(data.path());
    let ask = |user: &str, password: &str| {
        let mut command = support::plimsoll();
        command
            .args([
                "query",
                "SHOW USERS",
                "--url",
                &server.url(),
                "--username",
                user,
            ])
            .env("INFLUX_PASSWORD", password);
        support::ends(&mut command)
    };
    assert_eq!(ask("root", "tiger").0, Some(0));
    let (code, text) = ask("root", "wrong");
    assert_eq!(code, Some(1));
    assert_eq!(text.trim_end(), "plimsoll: authorization failed");
}

#[test]
fn deleting_by_a_v2_client_takes_the_right_to_write() {
    let data = directory();
    let server = guarded(data.path());
    let body = br#"{"start": "2024-03-30T12:00:00Z", "stop": "2024-03-30T13:00:00Z"}"#;
    let deleted = |user: &str| {
        let token = format!("Token {user}");
        let headers: &[(&str, &str)] = if user.is_empty() {
            &[]
        } else {
            &[("Authorization", &token)]
        };
        let path = "/api/v2/delete?bucket=db";
        let answer = server.client.send("POST", path, headers, body);
        (answer.status, answer.text())
    };
    assert_eq!(deleted("writer:w"), (200, String::new()));
    assert_eq!(deleted("root:tiger"), (200, String::new()));
    assert_eq!(deleted("").0, 401);
    let (status, text) = deleted("reader:r");
    assert_eq!(status, 403);
    let expected = r#"{"error":"delete - \"reader\" is not authorized to delete from \"db\": "#;
    assert!(text.starts_with(expected), "{text}");
    let dropped = asked(&server.client, "reader:r", "db", "DROP SERIES FROM m");
    assert_eq!(dropped.status, 403);
}
