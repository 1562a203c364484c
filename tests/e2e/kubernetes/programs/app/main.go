// app: the program in every test image, and the pause program.
//
//	app pause              wait for a signal
//	app serve              HTTP on :8080: /health /version /api/diagnostics/audit; HEALTH=fail
//	                       answers 503, START_DELAY=5s answers 503 for that long, CRASH=1 exits 1.
//	                       With DATA it refuses a schema newer than SCHEMA: exit status 3
//	app migrate [-sleep D] [-fail] [-need NAME] DATA VERSION
//	                       brings the store to a schema; -fail stops half-way, exit status 1;
//	                       -need demands that this variable is set
//	app schema DATA        prints the schema as a JSON line
//	app job [-exit N] [-sleep D] [text]   print text, wait, exit N
//	app get [-expect TEXT] URL
//	                       print the body; exit 0 for 2xx and a body with this text
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Exit status of a program that meets a schema which it does not know.
const schemaTooNew = 3

// schema is what DATA/schema.json holds.
type schema struct {
	Version     int    `json:"version"`
	Dirty       bool   `json:"dirty"`
	Fingerprint string `json:"fingerprint"`
}

func main() {
	if len(os.Args) < 2 {
		os.Args = append(os.Args, "serve")
	}
	switch os.Args[1] {
	case "pause":
		pause()
	case "serve":
		serve()
	case "migrate":
		migrate(os.Args[2:])
	case "schema":
		line, err := json.Marshal(read(os.Args[2]))
		die(err)
		fmt.Println(string(line))
	case "job":
		f := flag.NewFlagSet("job", flag.ExitOnError)
		code := f.Int("exit", 0, "")
		sleep := f.Duration("sleep", 0, "")
		f.Parse(os.Args[2:])
		fmt.Println(strings.Join(f.Args(), " "))
		time.Sleep(*sleep)
		os.Exit(*code)
	case "get":
		f := flag.NewFlagSet("get", flag.ExitOnError)
		expected := f.String("expect", "", "")
		f.Parse(os.Args[2:])
		r, err := http.Get(f.Arg(0))
		die(err)
		body, err := io.ReadAll(r.Body)
		die(err)
		fmt.Print(string(body))
		if r.StatusCode/100 != 2 || !strings.Contains(string(body), *expected) {
			os.Exit(1)
		}
	default:
		os.Exit(2)
	}
}

func pause() {
	c := make(chan os.Signal, 4)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGINT, syscall.SIGCHLD)
	for s := range c {
		if s != syscall.SIGCHLD {
			os.Exit(0)
		}
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 || err != nil {
				break
			}
		}
	}
}

func serve() {
	version := os.Getenv("VERSION")
	if os.Getenv("CRASH") == "1" {
		fmt.Println("crashing as told")
		os.Exit(1)
	}
	data := os.Getenv("DATA")
	if known, _ := strconv.Atoi(os.Getenv("SCHEMA")); data != "" && read(data).Version > known {
		fmt.Printf("schema %d is newer than %d, which release %s knows\n", read(data).Version, known, version)
		os.Exit(schemaTooNew)
	}
	delay, _ := time.ParseDuration(os.Getenv("START_DELAY"))
	start := time.Now()
	http.HandleFunc("/health", func(w http.ResponseWriter, r *http.Request) {
		if os.Getenv("HEALTH") == "fail" || time.Since(start) < delay {
			http.Error(w, "unhealthy", 503)
			return
		}
		fmt.Fprintf(w, "{\"status\":\"ok\",\"version\":%q}\n", version)
	})
	http.HandleFunc("/api/diagnostics/audit", func(w http.ResponseWriter, r *http.Request) {
		size := int64(0)
		if seen, err := os.Stat(filepath.Join(data, "audit.fallback")); err == nil {
			size = seen.Size()
		}
		fmt.Fprintf(w, "{\"fallbackFileSize\":%d}\n", size)
	})
	http.HandleFunc("/version", func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, version)
	})
	c := make(chan os.Signal, 1)
	signal.Notify(c, syscall.SIGTERM, syscall.SIGINT)
	go func() { <-c; os.Exit(0) }()
	fmt.Println("serving version", version)
	fmt.Println(http.ListenAndServe(":8080", nil))
	os.Exit(1)
}

func migrate(arguments []string) {
	f := flag.NewFlagSet("migrate", flag.ExitOnError)
	sleep := f.Duration("sleep", 0, "")
	fails := f.Bool("fail", false, "")
	need := f.String("need", "", "")
	f.Parse(arguments)
	if *need != "" && os.Getenv(*need) == "" {
		fmt.Println("the variable", *need, "is not set")
		os.Exit(1)
	}
	data := f.Arg(0)
	to, err := strconv.Atoi(f.Arg(1))
	die(err)
	fmt.Printf("migrating from schema %d to %d\n", read(data).Version, to)
	write(data, schema{Version: to, Dirty: true})
	time.Sleep(*sleep)
	if *fails {
		fmt.Println("duplicate key in `orders`")
		os.Exit(1)
	}
	write(data, schema{Version: to})
	fmt.Println("migrated")
}

func read(data string) schema {
	seen := schema{}
	text, err := os.ReadFile(filepath.Join(data, "schema.json"))
	if !os.IsNotExist(err) {
		die(err)
		die(json.Unmarshal(text, &seen))
	}
	seen.Fingerprint = fmt.Sprintf("plain:%d%t", seen.Version, seen.Dirty)
	return seen
}

func write(data string, wanted schema) {
	text, err := json.Marshal(wanted)
	die(err)
	unfinished := filepath.Join(data, ".schema.json")
	die(os.WriteFile(unfinished, text, 0o644))
	die(os.Rename(unfinished, filepath.Join(data, "schema.json")))
}

func die(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
