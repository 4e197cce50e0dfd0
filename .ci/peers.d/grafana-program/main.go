// Grafana's own InfluxDB back end (pkg/tsdb/influxdb of its Go module) asks two servers that hold
// the same data, and what it makes of their answers must be the same.
//
// Arguments: the address of InfluxDB, the address of Plimsoll, and a user and a password that
// both take.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/grafana/grafana/pkg/components/simplejson"
	"github.com/grafana/grafana/pkg/models"
	"github.com/grafana/grafana/pkg/tsdb"
	"github.com/grafana/grafana/pkg/tsdb/influxdb"
)

const (
	database = "grafana"
	pods     = 6
	steps    = 80
	stepS    = 10
	// The back end asks for a time up to now(), which is a moment later on the second server: a
	// window more or less is no difference, if the servers agree when they are asked again.
	asksMax = 20
)

// What the visual editor saves for a panel.
const editor = `{"measurement":"cpu/usage_rate","policy":"default","resultFormat":"time_series",
"groupBy":[{"type":"time","params":["$__interval"]},%s{"type":"fill","params":["%s"]}],
"select":[[{"type":"field","params":["value"]},{"type":"%s","params":[]}%s]],
"tags":[{"key":"type","operator":"=","value":"pod"},{"condition":"AND","key":"nodename",%s}]}`

const text = `{"rawQuery":true,"resultFormat":"time_series","query":"%s"}`

// What is typed as text.
var raw = []string{
	`SHOW MEASUREMENTS LIMIT 100`,
	`SHOW TAG KEYS FROM "cpu/usage_rate"`,
	`SHOW TAG VALUES FROM "cpu/usage_rate" WITH KEY = "pod_name" WHERE "nodename" = 'node-1'`,
	`SHOW FIELD KEYS FROM "cpu/usage_rate"`,
	`SELECT mean("value") FROM "cpu/usage_rate" WHERE $timeFilter GROUP BY time($interval) fill(null)`,
	`SELECT sum("value") FROM "cpu/usage_rate" WHERE "type" = 'pod' AND $timeFilter GROUP BY time(1m), "nodename" fill(none)`,
	`SELECT non_negative_derivative(mean("value"), 1s) FROM "cpu/usage_ns_cumulative" WHERE $timeFilter GROUP BY time(30s), "pod_name" fill(previous)`,
	`SELECT moving_average(max("value"), 3) FROM "memory/usage" WHERE $timeFilter GROUP BY time(20s) fill(linear)`,
	`SELECT percentile("value", 95), min("value"), max("value") FROM "memory/usage" WHERE $timeFilter GROUP BY time(1m) fill(0)`,
	`SELECT last("value") FROM "memory/usage" WHERE $timeFilter GROUP BY "pod_name"`,
	`SELECT top("value", 3) FROM "memory/usage" WHERE $timeFilter`,
	`SELECT count(distinct("value")) FROM "cpu/usage_rate" WHERE $timeFilter GROUP BY time(5m)`,
	`SELECT "value" / 1000 AS "cores" FROM "cpu/usage_rate" WHERE "pod_name" =~ /^(pod-1|pod-2)$/ AND $timeFilter`,
	`SELECT sum("m") FROM (SELECT mean("value") AS "m" FROM "cpu/usage_rate" WHERE $timeFilter GROUP BY time(1m), "pod_name") WHERE $timeFilter GROUP BY time(1m) fill(null)`,
	`SELECT mean("value") FROM /usage/ WHERE $timeFilter GROUP BY time(5m), "type" fill(null)`,
	`SELECT mean("nothing") FROM "nowhere" WHERE $timeFilter GROUP BY time(1m)`,
	`SELECT stddev("value"), spread("value") FROM "memory/usage" WHERE $timeFilter GROUP BY time(2m) tz('Europe/Berlin')`,
	`SELECT cumulative_sum(count("value")) FROM "memory/usage" WHERE $timeFilter GROUP BY time(1m) fill(none) LIMIT 5`,
}

func main() {
	log.SetFlags(0)
	log.SetPrefix("grafana: ")
	lines := points(time.Now().Truncate(stepS * time.Second).Add(-time.Minute))
	servers := os.Args[1:3]
	for _, server := range servers {
		// What an earlier run wrote lies a step beside the points of this one.
		post(server+"/query", strings.NewReader("q=DROP+DATABASE+"+database))
		post(server+"/query", strings.NewReader("q=CREATE+DATABASE+"+database+"+WITH+NAME+%22default%22"))
		post(server+"/write?db="+database+"&precision=s", bytes.NewReader(lines))
	}
	panels := map[string]string{}
	for _, text := range raw {
		model, err := json.Marshal(map[string]interface{}{
			"rawQuery": true, "query": text, "resultFormat": "time_series", "alias": "",
		})
		must(text, err)
		panels[text] = string(model)
	}
	for _, fill := range []string{"null", "none", "0", "previous", "linear"} {
		for _, function := range []string{"mean", "max", "last", "count", "median"} {
			for _, group := range []string{"", `{"type":"tag","params":["pod_name"]},`} {
				for _, math := range []string{"", `,{"type":"math","params":[" / 100"]}`,
					`,{"type":"non_negative_derivative","params":["10s"]}`, `,{"type":"alias","params":["x"]}`} {
					for _, node := range []string{`"operator":"=","value":"node-1"`, `"operator":"=~","value":"/^(node-0|node-2)$/"`} {
						model := fmt.Sprintf(editor, group, fill, function, math, node)
						panels["visual editor: "+model] = model
					}
				}
			}
		}
	}
	series, values := 0, 0
	for name, model := range panels {
		var answers [2]string
		var last *tsdb.QueryResult
		for asks := 0; asks < asksMax; asks++ {
			for i, server := range servers {
				last = ask(server, model)
				for _, one := range last.Series {
					for j := range one.Points {
						one.Points[j][0].Float64 = rounded(one.Points[j][0].Float64)
					}
				}
				answer, err := json.Marshal(last.Series)
				must(name, err)
				answers[i] = string(answer)
			}
			if answers[0] == answers[1] {
				break
			}
		}
		if answers[0] != answers[1] {
			log.Fatalf("%s\nInfluxDB: %s\nPlimsoll: %s", name, answers[0], answers[1])
		}
		series += len(last.Series)
		for _, one := range last.Series {
			values += len(one.Points)
		}
	}
	if values < 1000 {
		log.Fatalf("only %d values came", values)
	}
	fmt.Printf("grafana: %d queries give the same %d series of %d values from both\n", len(panels), series, values)
	for _, server := range servers {
		// The health check of Grafana's browser; 1.12 answers two columns more than 1.6.
		policies := fmt.Sprintf(text, `SHOW RETENTION POLICIES on \"grafana\"`)
		if found := ask(server, policies); len(found.Series) < 5 {
			log.Fatalf("%s: the health check finds %v", server, found.Series)
		}
		if _, err := query(server, fmt.Sprintf(text, "SELECT mean(value FROM x")); err == nil {
			log.Fatalf("%s: a syntax error is no error", server)
		}
	}
	fmt.Println("grafana: the health check passes on both")
	fmt.Println("grafana: a syntax error is an error from both")
}

// points are lines of some minutes: counters with a reset, gauges with holes.
func points(now time.Time) []byte {
	var lines bytes.Buffer
	for pod := 0; pod < pods; pod++ {
		tags := fmt.Sprintf("type=pod,nodename=node-%d,pod_name=pod-%d", pod%3, pod)
		total := 0
		for step := 0; step < steps; step++ {
			at := now.Unix() - int64((steps-step)*stepS)
			rate := 100 + (pod*37+step*13)%90
			total += rate * 1000
			if step == 50 {
				total = 0
			}
			fmt.Fprintf(&lines, "cpu/usage_ns_cumulative,%s value=%di %d\n", tags, total, at)
			if (step+pod)%7 != 0 {
				fmt.Fprintf(&lines, "cpu/usage_rate,%s value=%di %d\n", tags, rate, at)
			}
			fmt.Fprintf(&lines, "memory/usage,%s value=%d.5 %d\n", tags, 1000+rate*(pod+1), at)
		}
	}
	return lines.Bytes()
}

// rounded leaves 12 digits: sums of floats depend on the order in which series are read, which is
// arbitrary in InfluxDB.
func rounded(value float64) float64 {
	short, err := strconv.ParseFloat(strconv.FormatFloat(value, 'g', 12, 64), 64)
	must("a number", err)
	return short
}

func ask(server, model string) *tsdb.QueryResult {
	answer, err := query(server, model)
	must(server+": "+model, err)
	result := answer.Results["A"]
	must(server+": "+model, result.Error)
	return result
}

func query(server, model string) (*tsdb.Response, error) {
	parsed, err := simplejson.NewJson([]byte(model))
	must(model, err)
	source := &models.DataSource{
		Id: 1, Url: server, Database: database, User: os.Args[3], Password: os.Args[4],
		JsonData: simplejson.New(),
	}
	executor, err := influxdb.NewInfluxDBExecutor(source)
	must("the back end", err)
	return executor.Query(context.Background(), source, &tsdb.TsdbQuery{
		TimeRange: tsdb.NewTimeRange("15m", "now"),
		Queries:   []*tsdb.Query{{RefId: "A", Model: parsed, DataSource: source}},
	})
}

func post(address string, body io.Reader) {
	request, err := http.NewRequest(http.MethodPost, address, body)
	must(address, err)
	request.SetBasicAuth(os.Args[3], os.Args[4])
	if strings.Contains(address, "/query") {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	answer, err := http.DefaultClient.Do(request)
	must(address, err)
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	if answer.StatusCode/100 != 2 {
		log.Fatalf("%s: %s %s", address, answer.Status, text)
	}
}

func must(what string, err error) {
	if err != nil {
		log.Fatalf("%s: %v", what, err)
	}
}
