// Package redis stands for gopkg.in/redis.v2, which the module proxy does not have. Grafana's login
// sessions name it; the data source does not use it.
package redis

import (
	"errors"
	"time"
)

var errNotHere = errors.New("redis is not part of this program")

type Options struct {
	Network, Addr, Password string
	DB                      int64
	PoolSize                int
	IdleTimeout             time.Duration
}

type Client struct{}

type Cmd struct{}

func NewClient(*Options) *Client { return &Client{} }

func (Cmd) Err() error              { return errNotHere }
func (Cmd) Result() (string, error) { return "", errNotHere }
func (Cmd) Val() int64              { return 0 }

type BoolCmd struct{ Cmd }

func (BoolCmd) Val() bool { return false }

func (BoolCmd) Result() (bool, error) { return false, errNotHere }

func (*Client) SetEx(string, time.Duration, string) Cmd { return Cmd{} }
func (*Client) Get(string) Cmd                          { return Cmd{} }
func (*Client) Exists(string) BoolCmd                   { return BoolCmd{} }
func (*Client) Del(...string) Cmd                       { return Cmd{} }
func (*Client) Rename(string, string) Cmd               { return Cmd{} }
func (*Client) DbSize() Cmd                             { return Cmd{} }
func (*Client) Ping() Cmd                               { return Cmd{} }
func (*Client) FlushDb() Cmd                            { return Cmd{} }
func (*Client) Set(string, string) Cmd                  { return Cmd{} }
