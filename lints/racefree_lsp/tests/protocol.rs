//! The server as a client meets it: messages in, messages out, through pipes in memory. The analyst is one of ours: it finds the word `race`.

use std::collections::BTreeMap;
use std::io::{BufReader, Write, pipe};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use lsp_server::{Message, Notification, Request, RequestId, Response};
use racefree_lsp::{Analysis, Analyst, File, Finder, Job, Named};
use racefree_report::Source;
use racefree_rules::finding::{Edit, Fix, Safety, Severity, Step, Tier};
use racefree_rules::{Finding, Place};
use racefree_syntax::{FileId, Span};
use serde_json::{Value, json};

/// What the analyst is told besides its jobs: to wait, or to panic.
type Gate = Arc<Mutex<Option<Receiver<()>>>>;

struct Office {
    disk: BTreeMap<PathBuf, String>,
    gate: Gate,
    jobs: Sender<Job>,
}

struct Desk {
    disk: BTreeMap<PathBuf, String>,
    gate: Gate,
    jobs: Sender<Job>,
}

impl Finder for Office {
    fn open(&self, folder: &Path) -> Result<Box<dyn Analyst>, String> {
        if folder.ends_with("broken") {
            return Err("racefree.toml: this folder cannot be read".to_owned());
        }
        let disk = self.disk.iter().filter(|(path, _)| path.starts_with(folder)).map(|(path, text)| (path.clone(), text.clone()));
        Ok(Box::new(Desk { disk: disk.collect(), gate: Arc::clone(&self.gate), jobs: self.jobs.clone() }))
    }

    fn home(&self, file: &Path) -> Option<PathBuf> {
        file.parent().map(Path::to_path_buf)
    }

    fn canonical(&self, path: &Path) -> PathBuf {
        path.to_path_buf()
    }

    fn page(&self, rule: &str) -> Option<String> {
        Some(format!("https://example.org/{rule}"))
    }

    fn page_text(&self, _rule: &str) -> Option<&'static str> {
        Some("# The page")
    }
}

impl Analyst for Desk {
    fn analyse(&mut self, job: &Job) -> Result<Analysis, String> {
        // Order: the gate before the word that this job has begun; one that is put up on hearing the word is for the next job.
        let gate = self.gate.lock().unwrap().take();
        self.jobs.send(job.clone()).unwrap();
        if let Some(gate) = gate {
            gate.recv().unwrap();
        }
        let mut texts = self.disk.clone();
        texts.extend(job.open.iter().map(|(path, text)| (path.clone(), text.to_string())));
        assert!(!texts.values().any(|text| text.contains("panic")), "a bug of the analyst");
        let mut analysis = Analysis::default();
        for (index, (path, text)) in texts.iter().enumerate() {
            let file = FileId(index as u32);
            let found = text.match_indices("race").map(|(at, word)| finding(file, Span::new(at, at + word.len())));
            analysis.findings.extend(found);
            let source = Source::new(path.file_name().unwrap().to_str().unwrap(), text.clone());
            analysis.files.insert(file, File { path: path.clone(), source });
        }
        Ok(analysis)
    }
}

fn finding(file: FileId, span: Span) -> Named {
    let place = Place { file, span };
    let elsewhere = Place { file: FileId(0), span: Span::new(0, 1) };
    let edits = vec![Edit { place, text: "calm".to_owned() }];
    let finding = Finding {
        rule: "nil_pid_call",
        tier: Tier::Certain,
        severity: Severity::Error,
        place,
        message: "a race".to_owned(),
        harm: "It is lost.".to_owned(),
        trace: vec![step("caller", "looks", Some(elsewhere)), step("other", "ends", None)],
        help: "Calm down.".to_owned(),
        function: String::new(),
        sketches: Vec::new(),
        fixes: vec![Fix { title: "Calm it".to_owned(), safety: Safety::Safe, edits }],
    };
    Named { finding, fingerprint: format!("{}-{}", file.0, span.start), is_known: false }
}

fn step(process: &str, message: &str, place: Option<Place>) -> Step {
    Step { process: process.to_owned(), message: message.to_owned(), place, signal: None }
}

/// A client, and the server it speaks to.
struct Client {
    output: Option<Box<dyn Write>>,
    messages: Receiver<Message>,
    jobs: Receiver<Job>,
    gate: Gate,
    server: Option<JoinHandle<bool>>,
    /// Met while waiting for something else.
    waiting: Vec<Message>,
    requests: i32,
}

impl Client {
    fn start(files: &[(&str, &str)]) -> Self {
        let (to_server, from_client) = (pipe().unwrap(), pipe().unwrap());
        let ((server_input, client_output), (client_input, mut server_output)) = (to_server, from_client);
        let gate = Gate::default();
        let (jobs, done) = channel();
        let disk = files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect();
        let office = Office { disk, gate: Arc::clone(&gate), jobs };
        let server = std::thread::spawn(move || {
            racefree_lsp::serve(Box::new(office), Box::new(BufReader::new(server_input)), &mut server_output).unwrap()
        });
        let (sender, messages) = channel();
        std::thread::spawn(move || {
            let mut input = BufReader::new(client_input);
            while let Ok(Some(message)) = Message::read(&mut input) {
                if sender.send(message).is_err() {
                    return;
                }
            }
        });
        let (output, server) = (Some(Box::new(client_output) as Box<dyn Write>), Some(server));
        Self { output, messages, jobs: done, gate, server, waiting: Vec::new(), requests: 0 }
    }

    /// With the folder `/w` open and these capabilities.
    fn open(files: &[(&str, &str)], capabilities: Value) -> (Self, Value) {
        let mut client = Self::start(files);
        let folders = json!([{"uri": "file:///w", "name": "w"}]);
        let answer = client
            .ask("initialize", json!({"processId": null, "rootUri": null, "workspaceFolders": folders, "capabilities": capabilities}));
        client.tell("initialized", json!({}));
        (client, answer)
    }

    fn write(&mut self, message: Message) {
        message.write(&mut self.output.as_mut().unwrap()).unwrap();
    }

    fn tell(&mut self, method: &str, params: Value) {
        self.write(Message::Notification(Notification { method: method.to_owned(), params }));
    }

    fn send(&mut self, method: &str, params: Value) -> RequestId {
        self.requests += 1;
        let id = RequestId::from(self.requests);
        self.write(Message::Request(Request { id: id.clone(), method: method.to_owned(), params }));
        id
    }

    fn take<T>(&mut self, wanted: impl Fn(&Message) -> Option<T>) -> T {
        if let Some((index, found)) = self.waiting.iter().enumerate().find_map(|(index, message)| Some((index, wanted(message)?))) {
            self.waiting.remove(index);
            return found;
        }
        loop {
            let message = self.messages.recv().expect("the server says something");
            match wanted(&message) {
                Some(found) => return found,
                None => self.waiting.push(message),
            }
        }
    }

    fn response(&mut self, id: &RequestId) -> Response {
        self.take(|message| match message {
            Message::Response(response) if response.id == *id => Some(response.clone()),
            _ => None,
        })
    }

    fn ask(&mut self, method: &str, params: Value) -> Value {
        let id = self.send(method, params);
        let Response { result, error, .. } = self.response(&id);
        assert!(error.is_none(), "{error:?}");
        result.unwrap_or_default()
    }

    fn told(&mut self, method: &str) -> Value {
        self.take(|message| match message {
            Message::Notification(notification) if notification.method == method => Some(notification.params.clone()),
            _ => None,
        })
    }

    fn published(&mut self, uri: &str) -> Value {
        self.take(|message| match message {
            Message::Notification(notification)
                if notification.method == "textDocument/publishDiagnostics" && notification.params["uri"] == uri =>
            {
                Some(notification.params.clone())
            }
            _ => None,
        })
    }

    fn open_document(&mut self, uri: &str, text: &str) {
        self.tell("textDocument/didOpen", json!({"textDocument": {"uri": uri, "languageId": "elixir", "version": 1, "text": text}}));
    }

    fn change(&mut self, uri: &str, version: i32, changes: Value) {
        self.tell("textDocument/didChange", json!({"textDocument": {"uri": uri, "version": version}, "contentChanges": changes}));
    }

    fn actions(&mut self, uri: &str, line: u32) -> RequestId {
        let range = json!({"start": {"line": line, "character": 0}, "end": {"line": line, "character": 99}});
        self.send("textDocument/codeAction", json!({"textDocument": {"uri": uri}, "range": range, "context": {"diagnostics": []}}))
    }

    fn finish(mut self) -> bool {
        self.ask("shutdown", Value::Null);
        self.tell("exit", Value::Null);
        self.server.take().unwrap().join().unwrap()
    }
}

fn able() -> Value {
    json!({
        "general": {"positionEncodings": ["utf-16"]},
        "window": {"workDoneProgress": true},
        "workspace": {"workspaceEdit": {"documentChanges": true}, "didChangeWatchedFiles": {"dynamicRegistration": true}},
        "textDocument": {
            "publishDiagnostics": {"relatedInformation": true, "codeDescriptionSupport": true, "dataSupport": true, "tagSupport": {"valueSet": [1]}},
            "codeAction": {"codeActionLiteralSupport": {"codeActionKind": {"valueSet": ["quickfix"]}}, "isPreferredSupport": true},
            "hover": {"contentFormat": ["markdown"]},
        },
    })
}

const A: &str = "file:///w/a.ex";
const B: &str = "file:///w/b.ex";

#[test]
fn reports_findings_of_the_whole_folder_with_all_that_the_client_knows() {
    let (mut client, greeting) = Client::open(&[("/w/a.ex", "x\n"), ("/w/b.ex", "one\n  a race\n")], able());
    assert_eq!(greeting["capabilities"]["positionEncoding"], "utf-16");
    assert_eq!(greeting["capabilities"]["textDocumentSync"]["change"], 2);
    let published = client.published(B);
    let found = &published["diagnostics"][0];
    assert_eq!(found["range"], json!({"start": {"line": 1, "character": 4}, "end": {"line": 1, "character": 8}}));
    assert_eq!((&found["code"], &found["source"], &found["severity"]), (&json!("nil_pid_call"), &json!("racefree"), &json!(1)));
    assert_eq!(found["codeDescription"]["href"], "https://example.org/nil_pid_call");
    assert_eq!(found["relatedInformation"].as_array().unwrap().len(), 1, "a step outside the source has no place");
    assert_eq!(found["relatedInformation"][0]["location"]["uri"], A);
    assert_eq!(found["relatedInformation"][0]["message"], "caller: looks");
    assert_eq!(found["message"], "a race\nIt is lost.\nCalm down.");
    assert_eq!(found["data"]["fingerprint"], "1-8");
    assert!(client.finish());
}

#[test]
fn tells_the_interleaving_in_the_text_to_a_client_without_related_places() {
    let (mut client, _) = Client::open(&[("/w/b.ex", "race")], json!({}));
    let published = client.published(B);
    let found = &published["diagnostics"][0];
    assert_eq!(found["message"], "a race\ncaller: looks (b.ex:1)\nother: ends\nIt is lost.\nCalm down.");
    for absent in ["relatedInformation", "codeDescription", "data", "tags"] {
        assert!(found.get(absent).is_none(), "{absent}");
    }
    assert!(client.finish());
}

#[test]
fn shows_progress_of_the_first_look_and_asks_to_watch_files() {
    let (mut client, _) = Client::open(&[("/w/b.ex", "race")], able());
    let methods: Vec<String> = std::iter::repeat_with(|| {
        client.take(|message| match message {
            Message::Request(request) => Some(request.method.clone()),
            Message::Notification(notification) => {
                Some(format!("{} {}", notification.method, notification.params["value"]["kind"].as_str().unwrap_or_default()))
            }
            Message::Response(_) => None,
        })
    })
    .take(5)
    .collect();
    let expected = [
        "client/registerCapability",
        "window/workDoneProgress/create",
        "$/progress begin",
        "textDocument/publishDiagnostics ",
        "$/progress end",
    ];
    assert_eq!(methods, expected);
    assert!(client.finish());
}

#[test]
fn follows_changes_in_the_units_agreed_upon() {
    for (encoding, column) in [("utf-16", 2), ("utf-8", 4)] {
        let mut capabilities = able();
        capabilities["general"]["positionEncodings"] = json!(["utf-16", encoding]);
        let (mut client, _) = Client::open(&[], capabilities);
        client.open_document(A, "𝄞 x\n");
        assert_eq!(client.published(A)["diagnostics"], json!([]));
        let at = json!({"line": 0, "character": column});
        client.change(A, 2, json!([{"range": {"start": at, "end": at}, "text": "race"}]));
        let published = client.published(A);
        assert_eq!(published["version"], 2);
        assert_eq!(published["diagnostics"][0]["range"]["start"], at);
        assert!(client.finish());
    }
}

#[test]
fn findings_go_with_what_caused_them() {
    let (mut client, _) = Client::open(&[("/w/b.ex", "calm")], able());
    client.open_document(B, "a race");
    assert_eq!(client.published(B)["diagnostics"].as_array().unwrap().len(), 1);
    client.tell("textDocument/didClose", json!({"textDocument": {"uri": B}}));
    let published = client.published(B);
    assert_eq!((&published["diagnostics"], published.get("version")), (&json!([]), None), "the file on the disk has none");
    assert!(client.finish());
}

#[test]
fn reads_the_disk_again_when_told_that_files_changed() {
    let (mut client, _) = Client::open(&[("/w/b.ex", "calm")], able());
    client.jobs.recv().unwrap();
    client.open_document(B, "calm");
    assert!(!client.jobs.recv().unwrap().reread);
    client.tell("textDocument/didSave", json!({"textDocument": {"uri": B}}));
    assert!(client.jobs.recv().unwrap().reread);
    client.tell("workspace/didChangeWatchedFiles", json!({"changes": [{"uri": "file:///w/c.ex", "type": 1}]}));
    assert!(client.jobs.recv().unwrap().reread);
    assert!(client.finish());
}

#[test]
fn offers_the_fix_and_the_comment() {
    let (mut client, _) = Client::open(&[], able());
    client.open_document(A, "one\r\n\t a race\r\n");
    let id = client.actions(A, 1);
    let actions = client.response(&id).result.unwrap();
    let titles: Vec<&str> = actions.as_array().unwrap().iter().map(|action| action["title"].as_str().unwrap()).collect();
    assert_eq!(titles, ["Calm it", "Allow nil_pid_call here, with a reason"]);
    let fix = &actions[0];
    assert_eq!((&fix["kind"], &fix["isPreferred"]), (&json!("quickfix"), &json!(true)));
    assert_eq!(fix["diagnostics"][0]["code"], "nil_pid_call");
    let change = &fix["edit"]["documentChanges"][0];
    assert_eq!(change["textDocument"], json!({"uri": A, "version": 1}));
    assert_eq!(change["edits"][0]["newText"], "calm");
    let comment = &actions[1]["edit"]["documentChanges"][0]["edits"][0];
    assert_eq!(comment["newText"], "\t # racefree:allow nil_pid_call - reason\r\n");
    assert_eq!(comment["range"]["start"], json!({"line": 1, "character": 0}));
    let id = client.actions(A, 0);
    assert_eq!(client.response(&id).result.unwrap(), json!([]), "nothing is wrong with that line");
    assert!(client.finish());
}

#[test]
fn explains_under_the_pointer() {
    let (mut client, _) = Client::open(&[], able());
    client.open_document(A, "a race");
    let position = |character: u32| json!({"textDocument": {"uri": A}, "position": {"line": 0, "character": character}});
    let hover = client.ask("textDocument/hover", position(3));
    let text = hover["contents"]["value"].as_str().unwrap();
    assert!(text.starts_with("**nil_pid_call**: a race\n\nIt is lost.\n\n1. *caller*: looks\n2. *other*: ends"), "{text}");
    assert!(text.ends_with("# The page"), "{text}");
    assert_eq!(client.ask("textDocument/hover", position(0)), Value::Null);
    assert!(client.finish());
}

#[test]
fn analyses_the_newest_text_and_none_between() {
    let (mut client, _) = Client::open(&[], able());
    client.jobs.recv().unwrap();
    let (go, gate) = channel();
    *client.gate.lock().unwrap() = Some(gate);
    client.open_document(A, "one race");
    // It is at work on the first text when the others come.
    client.jobs.recv().unwrap();
    for version in 2..30 {
        client.change(A, version, json!([{"text": format!("{version} race")}]));
    }
    // An answer to another question: all changes before it were taken, though nothing is finished.
    client.send("no/such", json!({}));
    client.take(|message| matches!(message, Message::Response(response) if response.error.is_some()).then_some(()));
    go.send(()).unwrap();
    let published = client.published(A);
    assert_eq!(published["version"], 29, "what was found in older texts is told to nobody");
    assert_eq!(client.jobs.recv().unwrap().open[Path::new("/w/a.ex")].as_str(), "29 race");
    assert!(client.jobs.try_recv().is_err());
    assert!(client.finish());
}

#[test]
fn a_question_waits_for_its_text_and_can_be_taken_back() {
    let (mut client, _) = Client::open(&[], able());
    client.jobs.recv().unwrap();
    let (go, gate) = channel();
    *client.gate.lock().unwrap() = Some(gate);
    client.open_document(A, "one race");
    client.jobs.recv().unwrap();
    let (kept, cancelled) = (client.actions(A, 0), client.actions(A, 0));
    client.tell("$/cancelRequest", json!({"id": cancelled}));
    assert_eq!(client.response(&cancelled).error.unwrap().code, -32800, "before the analysis has come to an end");
    go.send(()).unwrap();
    assert_eq!(client.response(&kept).result.unwrap().as_array().unwrap().len(), 2);
    assert!(client.finish());
}

#[test]
fn a_panic_costs_one_analysis() {
    let (mut client, _) = Client::open(&[("/w/b.ex", "race")], able());
    client.published(B);
    client.open_document(A, "panic");
    assert!(client.told("window/showMessage")["message"].as_str().unwrap().contains("internal error"));
    client.change(A, 2, json!([{"text": "race"}]));
    assert_eq!(client.published(A)["diagnostics"].as_array().unwrap().len(), 1);
    assert!(client.finish());
}

#[test]
fn answers_what_it_does_not_serve_and_what_it_cannot_read() {
    let mut client = Client::start(&[]);
    let id = client.send("textDocument/hover", json!({}));
    assert_eq!(client.response(&id).error.unwrap().code, -32002, "not before `initialize`");
    client.ask("initialize", json!({"capabilities": {}}));
    let id = client.send("textDocument/rename", json!({}));
    assert_eq!(client.response(&id).error.unwrap().code, -32601);
    let id = client.send("textDocument/hover", json!({"textDocument": 3}));
    assert_eq!(client.response(&id).error.unwrap().code, -32602);
    client.tell("textDocument/didChange", json!({"nonsense": true}));
    client
        .tell("textDocument/didOpen", json!({"textDocument": {"uri": "untitled:1", "languageId": "elixir", "version": 1, "text": "race"}}));
    client.ask("shutdown", Value::Null);
    let id = client.send("textDocument/hover", json!({}));
    assert_eq!(client.response(&id).error.unwrap().code, -32600, "not after `shutdown`");
    client.tell("exit", Value::Null);
    assert!(client.server.take().unwrap().join().unwrap());
}

#[test]
fn says_once_what_keeps_it_from_working() {
    let (mut client, _) = Client::open(&[], able());
    client.tell(
        "workspace/didChangeWorkspaceFolders",
        json!({"event": {"added": [{"uri": "file:///w/broken", "name": "b"}], "removed": []}}),
    );
    assert_eq!(client.told("window/showMessage")["message"], "Racefree: racefree.toml: this folder cannot be read");
    client.open_document("file:///w/broken/a.ex", "race");
    client.open_document(A, "race");
    client.published(A);
    assert!(!client.waiting.iter().any(|message| matches!(message, Message::Notification(n) if n.method == "window/showMessage")));
    assert!(client.finish());
}

#[test]
fn forgets_a_folder_that_is_closed_and_finds_one_for_a_lone_file() {
    let (mut client, _) = Client::open(&[("/w/b.ex", "race"), ("/v/c.ex", "race")], able());
    client.published(B);
    let removed = json!([{"uri": "file:///w", "name": "w"}]);
    client.tell("workspace/didChangeWorkspaceFolders", json!({"event": {"added": [], "removed": removed}}));
    assert_eq!(client.published(B)["diagnostics"], json!([]));
    client.open_document("file:///v/d.ex", "calm");
    assert_eq!(client.published("file:///v/c.ex")["diagnostics"].as_array().unwrap().len(), 1);
    assert!(client.finish());
}

#[test]
fn ends_without_a_goodbye_when_the_client_is_gone() {
    let (mut client, _) = Client::open(&[("/w/b.ex", "race")], able());
    client.published(B);
    client.output = None;
    assert!(!client.server.take().unwrap().join().unwrap());
}

#[test]
fn survives_bytes_that_are_no_message() {
    let (mut client, _) = Client::open(&[], json!({}));
    client.output.as_mut().unwrap().write_all(b"Content-Length: 7\r\n\r\nnonsense").unwrap();
    client.output = None;
    assert!(!client.server.take().unwrap().join().unwrap());
}
