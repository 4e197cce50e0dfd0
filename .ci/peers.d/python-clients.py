"""What Python's clients of InfluxDB do with a server at 127.0.0.1; the arguments are its port, and
`open` or `users`: whether it has the user root with the password tiger."""

import sys
from datetime import datetime, timedelta, timezone

from influxdb import InfluxDBClient
from influxdb.exceptions import InfluxDBClientError
from influxdb_client import InfluxDBClient as ClientOf2
from influxdb_client import Point, WritePrecision
from influxdb_client.client.write_api import SYNCHRONOUS
from influxdb_client.rest import ApiException

PORT = int(sys.argv[1])
HAS_USERS = sys.argv[2] == "users"
NOW = datetime.now(timezone.utc).replace(microsecond=500_000)
FIELDS = {"v": 1.5, "i": 2, "s": 'a "b"', "b": True}


def text(time):
    return time.strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0") + "Z"


def equal(what, found, expected):
    assert found == expected, f"{what}: {found!r} is not {expected!r}"
    print(f"python-clients: {what}", flush=True)


def refused(what, kind, part, call):
    try:
        call()
    except kind as error:
        assert part in str(error), f"{what}: {error}"
        print(f"python-clients: {what}", flush=True)
        return
    raise AssertionError(f"{what}: it is not refused")


def influxdb_python(accept, database):
    headers = {"Accept": accept}
    client = InfluxDBClient("127.0.0.1", PORT, "root", "tiger", headers=headers)
    equal(f"{accept}: ping tells the version", client.ping(), "1.12.2")
    client.create_database(database)
    client.switch_database(database)
    equal(f"{accept}: the database is there", {"name": database} in client.get_list_database(), True)
    points = [
        {"measurement": "cpu", "tags": {"host": "a, b"}, "time": NOW, "fields": FIELDS},
        {"measurement": "cpu", "tags": {"host": "c"}, "time": NOW, "fields": {"v": 2.5}},
    ]
    equal(f"{accept}: points are written", client.write_points(points), True)
    rows = list(client.query("SELECT * FROM cpu WHERE host = 'a, b'").get_points())
    # influxdb-python makes microseconds of the times that it reads from msgpack.
    for row in rows:
        row["time"] = row["time"].rstrip("Z").rstrip("0") + "Z"
    expected = {"time": text(NOW), "host": "a, b", **FIELDS}
    equal(f"{accept}: all types come back", rows, [expected])
    grouped = client.query("SELECT mean(v) FROM cpu GROUP BY host", epoch="ms")
    means = {dict(key[1])["host"]: list(rows)[0]["mean"] for key, rows in grouped.items()}
    equal(f"{accept}: groups are told apart", means, {"a, b": 1.5, "c": 2.5})
    chunks = client.query("SELECT v FROM cpu", chunked=True, chunk_size=1)
    count = sum(len(list(chunk.get_points())) for chunk in chunks)
    equal(f"{accept}: pieces are put together", count, 2)
    bound = client.query("SELECT v FROM cpu WHERE host = $h", bind_params={"h": "c"})
    equal(f"{accept}: a bound parameter", [row["v"] for row in bound.get_points()], [2.5])
    policy = "a_day"
    client.create_retention_policy(policy, "1d", "1", database=database)
    policies = [row["name"] for row in client.get_list_retention_policies(database)]
    equal(f"{accept}: a policy is made", policy in policies, True)
    refused(f"{accept}: a syntax error", InfluxDBClientError, "error parsing query: found SELEC",
            lambda: client.query("SELEC 1"))
    refused(f"{accept}: an unknown database", InfluxDBClientError, "database not found: nosuch",
            lambda: client.query("SELECT v FROM cpu", database="nosuch"))
    refused(f"{accept}: a type conflict", InfluxDBClientError, "field type conflict",
            lambda: client.write_points([{**points[1], "fields": {"v": "text"}}]))
    client.drop_database(database)
    equal(f"{accept}: it is dropped", {"name": database} in client.get_list_database(), False)


def influxdb_client():
    reader = InfluxDBClient("127.0.0.1", PORT, "root", "tiger", database="k8s")
    with ClientOf2(url=f"http://127.0.0.1:{PORT}", token="root:tiger", org="-",
                   enable_gzip=True) as client:
        equal("v2: it is there", client.ping(), True)
        equal("v2: it is ready", client.ready().status, "ready")
        equal("v2: it is well", client.health().status, "pass")
        writer = client.write_api(write_options=SYNCHRONOUS)
        times = [NOW - timedelta(seconds=age) for age in range(3)]
        points = [Point("v2").tag("host", "a").field("v", i).time(time)
                  for i, time in enumerate(times)]
        writer.write(bucket="k8s", record=points)
        line = f"v2,host=b v=9i {int(NOW.timestamp())}"
        writer.write(bucket="k8s/default", record=line, write_precision=WritePrecision.S)
        rows = reader.query("SELECT count(v), sum(v) FROM v2").get_points()
        equal("v2: points are stored", [(row["count"], row["sum"]) for row in rows], [(4, 12)])
        refused("v2: an unknown bucket", ApiException, "database not found",
                lambda: writer.write(bucket="nosuch", record="m v=1"))
        refused("v2: Flux", ApiException, "Flux query service disabled",
                lambda: client.query_api().query('from(bucket: "k8s")'))


influxdb_python("application/x-msgpack", "python_msgpack")
influxdb_python("application/json", "python_json")
influxdb_client()
if HAS_USERS:
    root = InfluxDBClient("127.0.0.1", PORT, "root", "tiger")
    root.create_user("reader", "r")
    root.grant_privilege("read", "k8s", "reader")
    equal("users: a right is granted", root.get_list_privileges("reader"),
          [{"database": "k8s", "privilege": "READ"}])
    reader = InfluxDBClient("127.0.0.1", PORT, "reader", "r", database="k8s")
    equal("users: a reader reads", len(list(reader.query("SELECT v FROM v2").get_points())), 4)
    refused("users: a reader does not write", InfluxDBClientError, "not authorized to write",
            lambda: reader.write_points([{"measurement": "m", "fields": {"v": 1}}]))
    refused("users: a wrong password", InfluxDBClientError, "authorization failed",
            lambda: InfluxDBClient("127.0.0.1", PORT, "root", "wrong").query("SHOW DATABASES"))
    with ClientOf2(url=f"http://127.0.0.1:{PORT}", token="reader:r", org="-") as client:
        refused("users: v2: a reader does not write", ApiException, "not authorized to write",
                lambda: client.write_api(write_options=SYNCHRONOUS).write(
                    bucket="k8s", record="m v=1"))
        equal("users: v2: buckets that may be read",
              [bucket.name for bucket in client.buckets_api().find_buckets().buckets],
              ["k8s/default"])
