//! A client of the language server that speaks to the real binary.

use std::io::{BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use lsp_server::{Message, Notification, Request, RequestId};
use serde_json::{Value, json};

pub(crate) struct Editor {
    server: Child,
    output: ChildStdin,
    input: BufReader<ChildStdout>,
    requests: i32,
}

impl Editor {
    /// With `folder` open.
    pub(crate) fn open(binary: &str, arguments: &[&str], folder: &Path) -> Self {
        let mut command = Command::new(binary);
        let mut server =
            command.arg("lsp").args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("the server starts");
        let output = server.stdin.take().expect("its input is a pipe");
        let input = BufReader::new(server.stdout.take().expect("its output is a pipe"));
        let mut editor = Self { server, output, input, requests: 0 };
        let folders = json!([{"uri": uri(folder), "name": "project"}]);
        let diagnostics = json!({"relatedInformation": true, "dataSupport": true});
        let capabilities = json!({"general": {"positionEncodings": ["utf-32"]}, "textDocument": {"publishDiagnostics": diagnostics}});
        editor.ask("initialize", json!({"workspaceFolders": folders, "capabilities": capabilities}));
        editor.tell("initialized", json!({}));
        editor
    }

    #[allow(dead_code, reason = "for the bench")]
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
        self.requests += 1;
        let id = RequestId::from(self.requests);
        self.send(Message::Request(Request { id: id.clone(), method: method.to_owned(), params }));
        loop {
            if let Message::Response(response) = self.receive()
                && response.id == id
            {
                return response.result.unwrap_or_default();
            }
        }
    }

    /// The next diagnostics that are published, of any file.
    pub(crate) fn published(&mut self) -> Value {
        loop {
            if let Message::Notification(notification) = self.receive()
                && notification.method == "textDocument/publishDiagnostics"
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

pub(crate) fn uri(path: &Path) -> String {
    format!("file://{}", path.display())
}
