// What the Go client of InfluxDB 1.x (v2 API) does with a server at 127.0.0.1; the arguments are
// its port, and `open` or `users`: whether it has the user root with the password tiger.
package main

import (
	"encoding/json"
	"fmt"
	"log"
	"os"
	"reflect"
	"strings"
	"time"

	client "github.com/influxdata/influxdb1-client/v2"
)

const database = "go_client"

func main() {
	log.SetFlags(0)
	log.SetPrefix("go-client: ")
	c, err := client.NewHTTPClient(client.HTTPConfig{
		Addr:     "http://127.0.0.1:" + os.Args[1],
		Username: "root",
		Password: "tiger",
	})
	must("a client", err)
	defer c.Close()

	_, version, err := c.Ping(time.Second)
	must("ping", err)
	equal("ping tells the version", version, "1.12.2")

	ask(c, client.NewQuery("CREATE DATABASE "+database, "", ""))
	at := time.Now().UTC().Truncate(time.Second)
	batch, err := client.NewBatchPoints(client.BatchPointsConfig{Database: database, Precision: "ns"})
	must("a batch", err)
	for i, host := range []string{"a", "b c", "a"} {
		point, err := client.NewPoint("cpu", map[string]string{"host": host},
			map[string]interface{}{"v": float64(i) + 0.5, "i": int64(i), "s": "x", "b": i > 0},
			at.Add(time.Duration(i)*time.Second))
		must("a point", err)
		batch.AddPoint(point)
	}
	must("points are written", c.Write(batch))

	query := client.NewQuery("SELECT v, i, s, b FROM cpu WHERE host = 'b c'", database, "ns")
	series := ask(c, query).Results[0].Series[0]
	equal("columns", series.Columns, []string{"time", "v", "i", "s", "b"})
	equal("all types come back", series.Values[0], []interface{}{
		json.Number(fmt.Sprint(at.Add(time.Second).UnixNano())),
		json.Number("1.5"), json.Number("1"), "x", true,
	})

	query = client.NewQueryWithParameters("SELECT sum(i) FROM cpu WHERE host = $host GROUP BY host",
		database, "s", client.Params{"host": client.StringValue("a")})
	series = ask(c, query).Results[0].Series[0]
	equal("tags of a group", series.Tags, map[string]string{"host": "a"})
	equal("a bound parameter", series.Values[0][1], json.Number("2"))

	query = client.NewQuery("SELECT v FROM cpu", database, "s")
	query.Chunked, query.ChunkSize = true, 2
	equal("pieces are put together", rows(ask(c, query)), 3)
	stream, err := c.QueryAsChunk(query)
	must("a stream of pieces", err)
	pieces, streamed := 0, 0
	for {
		response, err := stream.NextResponse()
		if err != nil {
			break
		}
		pieces++
		streamed += rows(response)
	}
	stream.Close()
	equal("pieces and rows of a stream", []int{pieces, streamed}, []int{2, 3})

	refused(c, client.NewQuery("SELEC", database, ""), "error parsing query: found SELEC")
	refused(c, client.NewQuery("SELECT v FROM cpu", "nosuch", ""), "database not found: nosuch")
	wrong, err := client.NewBatchPoints(client.BatchPointsConfig{Database: "nosuch"})
	must("a batch", err)
	wrong.AddPoints(batch.Points())
	if err := c.Write(wrong); err == nil || !strings.Contains(err.Error(), "database not found") {
		log.Fatalf("a write to an unknown database: %v", err)
	}
	fmt.Println("go-client: a write to an unknown database is refused")
	if os.Args[2] == "users" {
		stranger, err := client.NewHTTPClient(client.HTTPConfig{
			Addr: "http://127.0.0.1:" + os.Args[1], Username: "root", Password: "wrong",
		})
		must("a client", err)
		refused(stranger, client.NewQuery("SHOW DATABASES", "", ""), "authorization failed")
		if err := stranger.Write(batch); err == nil || !strings.Contains(err.Error(), "authorization failed") {
			log.Fatalf("a write with a wrong password: %v", err)
		}
		fmt.Println("go-client: a write with a wrong password is refused")
	}
}

func ask(c client.Client, query client.Query) *client.Response {
	response, err := c.Query(query)
	must(query.Command, err)
	must(query.Command, response.Error())
	return response
}

func refused(c client.Client, query client.Query, part string) {
	response, err := c.Query(query)
	if err == nil {
		err = response.Error()
	}
	if err == nil || !strings.Contains(err.Error(), part) {
		log.Fatalf("%s in %q: %v", query.Command, query.Database, err)
	}
	fmt.Printf("go-client: refused: %s\n", part)
}

func rows(response *client.Response) (count int) {
	for _, result := range response.Results {
		for _, series := range result.Series {
			count += len(series.Values)
		}
	}
	return count
}

func must(what string, err error) {
	if err != nil {
		log.Fatalf("%s: %v", what, err)
	}
}

func equal(what string, found, expected interface{}) {
	if !reflect.DeepEqual(found, expected) {
		log.Fatalf("%s: %#v is not %#v", what, found, expected)
	}
	fmt.Printf("go-client: %s\n", what)
}
