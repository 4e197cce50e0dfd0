// Command cadvisor-library runs cAdvisor's own container manager and Prometheus
// collector as a process: the parts that the Kubelet embeds, without cAdvisor's
// web pages and storage drivers. It takes every flag that they register.
package main

import (
	"flag"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/google/cadvisor/lib/cache/memory"
	"github.com/google/cadvisor/lib/container"
	"github.com/google/cadvisor/lib/manager"
	"github.com/google/cadvisor/lib/metrics"
	"github.com/google/cadvisor/lib/model"
	"github.com/google/cadvisor/lib/utils/sysfs"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"k8s.io/utils/clock"
)

// How long the manager remembers what it read; a scrape asks for the latest only.
const remembered = 2 * time.Minute

func main() {
	listen := flag.String("listen", "127.0.0.1:8080", "address to listen on")
	flag.Parse()
	if err := serve(*listen); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func serve(listen string) error {
	collected := container.MetricSet{
		container.CpuUsageMetrics:    {},
		container.MemoryUsageMetrics: {},
		container.OOMMetrics:         {},
	}
	everyCgroup := []string{"/"}
	m, err := manager.New(memory.New(remembered, nil), sysfs.NewRealSysFs(),
		manager.HousekeepingConfigFlags, collected, everyCgroup, nil, "", 0)
	if err != nil {
		return fmt.Errorf("make the manager: %w", err)
	}
	if err := m.Start(); err != nil {
		return fmt.Errorf("start the manager: %w", err)
	}
	latest := model.RequestOptions{IdType: model.TypeName, Count: 1, Recursive: true}
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		metrics.NewPrometheusCollector(m, metrics.BaseContainerLabels(nil), collected, clock.RealClock{}, latest),
		metrics.NewPrometheusMachineCollector(m, collected),
	)
	http.Handle("/metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	return http.ListenAndServe(listen, nil)
}
