//! A client of the language server that speaks to the real binary.

#![allow(dead_code, reason = "each user takes its part")]

use std::io::{BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use lsp_server::{Message, Notification, Request, RequestId};
use serde_json::{Value, json};

const PUBLISHED: &str = "textDocument/publishDiagnostics";

pub(crate) struct Editor {
    server: Child,
    output: ChildStdin,
    input: BufReader<ChildStdout>,
    requests: i32,
}

impl Editor {
    /// With `folder` open; columns count characters.
    pub(crate) fn open(binary: &str, arguments: &[&str], folder: &Path) -> Self {
        Self::open_counting(binary, arguments, folder, "utf-32")
    }

    /// The same, with columns in the units of `encoding`.
    pub(crate) fn open_counting(binary: &str, arguments: &[&str], folder: &Path, encoding: &str) -> Self {
        let mut command = Command::new(binary);
        let mut server =
            command.arg("lsp").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the server starts");
        let output = server.stdin.take().expect("its input is a pipe");
        let input = BufReader::new(server.stdout.take().expect("its output is a pipe"));
        let mut editor = Self { server, output, input, requests: 0 };
        let folders = json!([{"uri": uri(folder), "name": "project"}]);
        let diagnostics = json!({"relatedInformation": true, "dataSupport": true, "codeDescriptionSupport": true});
        let capabilities = json!({"general": {"positionEncodings": [encoding]}, "textDocument": {"publishDiagnostics": diagnostics}});
        let answer = editor.ask("initialize", json!({"workspaceFolders": folders, "capabilities": capabilities}));
        assert_eq!(answer["capabilities"]["positionEncoding"], encoding);
        editor.tell("initialized", json!({}));
        editor
    }

    pub(crate) fn process(&self) -> u32 {
        self.server.id()
    }

    pub(crate) fn tell(&mut self, method: &str, params: Value) {
        self.send(Message::Notification(Notification { method: method.to_owned(), params }));
    }

    fn send(&mut self, message: Message) {
        message.write(&mut self.output).expect("the server listens");
        self.output.flush().expect("the server listens");
    }

    fn receive(&mut self) -> Message {
        Message::read(&mut self.input).expect("the server speaks the protocol").expect("the server is there")
    }

    pub(crate) fn ask(&mut self, method: &str, params: Value) -> Value {
        self.ask_and_hear(method, params).0
    }

    /// The answer, and the diagnostics that were published before it came.
    pub(crate) fn ask_and_hear(&mut self, method: &str, params: Value) -> (Value, Vec<Value>) {
        self.requests += 1;
        let id = RequestId::from(self.requests);
        self.send(Message::Request(Request { id: id.clone(), method: method.to_owned(), params }));
        let mut published = Vec::new();
        loop {
            match self.receive() {
                Message::Response(response) if response.id == id => return (response.result.unwrap_or_default(), published),
                Message::Notification(notification) if notification.method == PUBLISHED => published.push(notification.params),
                Message::Notification(_) | Message::Request(_) | Message::Response(_) => {}
            }
        }
    }

    /// The next diagnostics that are published, of any file.
    pub(crate) fn published(&mut self) -> Value {
        loop {
            if let Message::Notification(notification) = self.receive()
                && notification.method == PUBLISHED
            {
                return notification.params;
            }
        }
    }

    /// Those of this version of a document.
    pub(crate) fn published_for(&mut self, uri: &str, version: i32) -> Value {
        loop {
            let published = self.published();
            if published["uri"] == uri && published["version"] == version {
                return published;
            }
        }
    }

    pub(crate) fn open_document(&mut self, uri: &str, text: &str) {
        self.tell("textDocument/didOpen", json!({"textDocument": {"uri": uri, "languageId": "elixir", "version": 1, "text": text}}));
    }

    pub(crate) fn change(&mut self, uri: &str, version: i32, change: Value) {
        self.tell("textDocument/didChange", json!({"textDocument": {"uri": uri, "version": version}, "contentChanges": [change]}));
    }

    /// Ends in order.
    pub(crate) fn close(mut self) {
        self.ask("shutdown", Value::Null);
        self.tell("exit", Value::Null);
        let status = self.server.wait().expect("the server ends");
        assert!(status.success(), "{status}");
    }
}

/// Of a path that is plain words.
pub(crate) fn uri(path: &Path) -> String {
    format!("file://{}", path.display())
}

/// A URI without its escapes.
pub(crate) fn decoded(uri: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = uri.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        match (first, tail) {
            (b'%', [high, low, tail @ ..]) => {
                let escape = [*high, *low];
                let escape = std::str::from_utf8(&escape).expect("two digits");
                bytes.push(u8::from_str_radix(escape, 16).expect("two digits"));
                rest = tail;
            }
            _ => bytes.push(*first),
        }
    }
    String::from_utf8(bytes).expect("UTF-8")
}
