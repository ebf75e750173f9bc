//! The conversation: one message after the other, and what the analysis has found in between.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, never, select, unbounded};
use lsp_server::{ErrorCode, Message, Notification, Request, RequestId, Response};
use lsp_types::notification::{
    Cancel, DidChangeTextDocument, DidChangeWatchedFiles, DidChangeWorkspaceFolders, DidCloseTextDocument, DidOpenTextDocument,
    DidSaveTextDocument, Notification as _, Progress, PublishDiagnostics,
};
use lsp_types::request::{CodeActionRequest, HoverRequest, RegisterCapability, Request as _, Shutdown, WorkDoneProgressCreate};
use lsp_types::*;
use serde_json::{Value, json};

use crate::action;
use crate::analyst::{Analysis, Finder, Job, Named};
use crate::client::{Abilities, Client};
use crate::diagnostic::Shown;
use crate::document::Document;
use crate::hover;
use crate::worker::{Done, Order, Worker};

/// What changes on the disk and matters here.
const WATCHED: [&str; 4] = ["**/*.{ex,exs}", "**/racefree.toml", "**/.gitignore", "**/racefree-baseline.json"];

/// Serves one client; whether it said goodbye in order.
pub(crate) fn run(finder: Box<dyn Finder>, input: Box<dyn BufRead + Send>, output: &mut dyn Write) -> io::Result<bool> {
    let (sender, messages) = unbounded();
    // It ends with the input; a client that keeps the pipe open after its goodbye holds nobody up.
    std::thread::spawn(move || read(input, &sender));
    let mut client = Client::new(output);
    let Some(params) = handshake(&messages, &mut client) else { return client.failure.map_or(Ok(false), Err) };
    let finder: Arc<dyn Finder> = Arc::from(finder);
    let (done, finished) = unbounded();
    let worker = Worker::start(Arc::clone(&finder), done);
    let mut server = Server::new(client, finder, worker, &params);
    server.begin(&params);
    let in_order = server.serve(&messages, &finished);
    match server.client.failure {
        Some(failure) if failure.kind() != io::ErrorKind::BrokenPipe => Err(failure),
        Some(_) => Ok(false),
        None => Ok(in_order),
    }
}

fn read(mut input: Box<dyn BufRead + Send>, sender: &Sender<Message>) {
    while let Ok(Some(message)) = Message::read(&mut input) {
        if sender.send(message).is_err() {
            return;
        }
    }
}

/// Waits for `initialize` and answers it. `None` when the client went away before.
fn handshake(messages: &Receiver<Message>, client: &mut Client<'_>) -> Option<InitializeParams> {
    loop {
        match messages.recv().ok()? {
            Message::Request(request) if request.method == lsp_types::request::Initialize::METHOD => {
                let params: InitializeParams = match serde_json::from_value(request.params) {
                    Ok(params) => params,
                    Err(error) => {
                        client.respond(Response::new_err(request.id, ErrorCode::InvalidParams as i32, error.to_string()));
                        continue;
                    }
                };
                client.respond(Response::new_ok(request.id, greeting(&Abilities::new(&params.capabilities))));
                return Some(params);
            }
            Message::Request(request) => {
                let message = "the first request is `initialize`".to_owned();
                client.respond(Response::new_err(request.id, ErrorCode::ServerNotInitialized as i32, message));
            }
            Message::Notification(notification) if notification.method == lsp_types::notification::Exit::METHOD => return None,
            Message::Notification(_) | Message::Response(_) => {}
        }
    }
}

fn greeting(abilities: &Abilities) -> InitializeResult {
    let sync = TextDocumentSyncOptions {
        open_close: Some(true),
        change: Some(TextDocumentSyncKind::INCREMENTAL),
        save: Some(TextDocumentSyncSaveOptions::Supported(true)),
        ..TextDocumentSyncOptions::default()
    };
    let actions = CodeActionOptions { code_action_kinds: Some(vec![CodeActionKind::QUICKFIX]), ..CodeActionOptions::default() };
    let folders = WorkspaceFoldersServerCapabilities { supported: Some(true), change_notifications: Some(OneOf::Left(true)) };
    let capabilities = ServerCapabilities {
        position_encoding: Some(abilities.encoding.kind()),
        text_document_sync: Some(TextDocumentSyncCapability::Options(sync)),
        code_action_provider: Some(CodeActionProviderCapability::Options(actions)),
        hover_provider: Some(HoverProviderCapability::Simple(true)),
        workspace: Some(WorkspaceServerCapabilities { workspace_folders: Some(folders), file_operations: None }),
        ..ServerCapabilities::default()
    };
    let server_info = ServerInfo { name: "racefree".to_owned(), version: Some(env!("CARGO_PKG_VERSION").to_owned()) };
    InitializeResult { capabilities, server_info: Some(server_info) }
}

/// What is known of one folder.
#[derive(Default)]
struct Folder {
    /// The number of the newest order, and of the newest one that was done.
    ordered: u64,
    done: u64,
    analysis: Arc<Analysis>,
    /// What was last said, so that it is not said twice.
    trouble: String,
    /// The progress that is shown.
    token: Option<NumberOrString>,
}

/// What a client was last told of a file.
#[derive(Default)]
struct Published {
    version: Option<i32>,
    diagnostics: Vec<Diagnostic>,
}

struct Server<'w> {
    client: Client<'w>,
    abilities: Abilities,
    finder: Arc<dyn Finder>,
    worker: Worker,
    folders: BTreeMap<PathBuf, Folder>,
    /// By canonical path.
    documents: BTreeMap<PathBuf, Document>,
    published: BTreeMap<PathBuf, Published>,
    /// Questions about a text that is being analysed.
    parked: Vec<Request>,
    orders: u64,
    is_shut_down: bool,
}

impl<'w> Server<'w> {
    fn new(client: Client<'w>, finder: Arc<dyn Finder>, worker: Worker, params: &InitializeParams) -> Self {
        Self {
            client,
            abilities: Abilities::new(&params.capabilities),
            finder,
            worker,
            folders: BTreeMap::new(),
            documents: BTreeMap::new(),
            published: BTreeMap::new(),
            parked: Vec::new(),
            orders: 0,
            is_shut_down: false,
        }
    }

    fn begin(&mut self, params: &InitializeParams) {
        if self.abilities.watched_files {
            let watchers = WATCHED.map(|pattern| FileSystemWatcher { glob_pattern: GlobPattern::String(pattern.to_owned()), kind: None });
            let options = DidChangeWatchedFilesRegistrationOptions { watchers: watchers.to_vec() };
            let registration = Registration {
                id: "racefree-files".to_owned(),
                method: DidChangeWatchedFiles::METHOD.to_owned(),
                register_options: serde_json::to_value(options).ok(),
            };
            self.client.request::<RegisterCapability>(RegistrationParams { registrations: vec![registration] });
        }
        let named = params.workspace_folders.iter().flatten().map(|folder| folder.uri.clone());
        let mut uris: Vec<Url> = named.collect();
        if uris.is_empty() {
            #[expect(deprecated, reason = "clients without workspace folders name their root like this")]
            uris.extend(params.root_uri.clone());
        }
        for uri in uris {
            self.add_folder(&uri);
        }
    }

    fn add_folder(&mut self, uri: &Url) {
        if let Ok(path) = uri.to_file_path() {
            let folder = self.finder.canonical(&path);
            self.folders.entry(folder.clone()).or_default();
            self.order(&folder, Reread::Yes);
        }
    }

    /// Until the end; whether the client said goodbye first.
    fn serve(&mut self, messages: &Receiver<Message>, finished: &Receiver<Done>) -> bool {
        let mut finished = finished.clone();
        while self.client.failure.is_none() {
            select! {
                recv(messages) -> message => match message {
                    Ok(Message::Notification(notification)) if notification.method == lsp_types::notification::Exit::METHOD => {
                        return self.is_shut_down;
                    }
                    Ok(message) => self.guarded(message),
                    Err(_) => return false,
                },
                recv(finished) -> done => match done {
                    Ok(done) => self.finish(done),
                    Err(_) => finished = never(),
                },
            }
        }
        false
    }

    /// Takes a message; a panic over it costs its answer, and nothing else.
    fn guarded(&mut self, message: Message) {
        let id = match &message {
            Message::Request(request) => Some(request.id.clone()),
            Message::Notification(_) | Message::Response(_) => None,
        };
        let taken = catch_unwind(AssertUnwindSafe(|| match message {
            Message::Request(request) => self.request(request),
            Message::Notification(notification) => self.notification(notification),
            // To what we ask there is nothing to do.
            Message::Response(_) => {}
        }));
        if let (Err(_), Some(id)) = (taken, id) {
            let message = "internal error, please report it".to_owned();
            self.client.respond(Response::new_err(id, ErrorCode::InternalError as i32, message));
        }
    }

    fn request(&mut self, request: Request) {
        if self.is_shut_down {
            let message = "the server is shut down".to_owned();
            return self.client.respond(Response::new_err(request.id, ErrorCode::InvalidRequest as i32, message));
        }
        match request.method.as_str() {
            Shutdown::METHOD => {
                self.is_shut_down = true;
                for parked in std::mem::take(&mut self.parked) {
                    self.cancel(parked.id);
                }
                self.client.respond(Response::new_ok(request.id, Value::Null));
            }
            CodeActionRequest::METHOD | HoverRequest::METHOD => match self.subject(&request.params) {
                Some(path) if self.is_behind(&path) => self.parked.push(request),
                subject => self.answer(request, subject),
            },
            _ => {
                let message = format!("`{}` is not served", request.method);
                self.client.respond(Response::new_err(request.id, ErrorCode::MethodNotFound as i32, message));
            }
        }
    }

    /// The document that a request speaks of.
    fn subject(&self, params: &Value) -> Option<PathBuf> {
        let uri = Url::parse(params.get("textDocument")?.get("uri")?.as_str()?).ok()?;
        Some(self.finder.canonical(&uri.to_file_path().ok()?))
    }

    /// Whether the analysis of the text at hand is still to come.
    fn is_behind(&self, path: &Path) -> bool {
        self.folder_of(path).and_then(|folder| self.folders.get(folder)).is_some_and(|folder| folder.done < folder.ordered)
    }

    fn answer(&mut self, request: Request, subject: Option<PathBuf>) {
        let Request { id, method, params } = request;
        let answer = match method.as_str() {
            CodeActionRequest::METHOD => {
                serde_json::from_value(params).map(|params| subject.map_or_else(|| json!([]), |path| self.code_actions(&path, &params)))
            }
            _ => serde_json::from_value(params).map(|params| subject.map_or(Value::Null, |path| self.hover(&path, &params))),
        };
        self.client.respond(match answer {
            Ok(answer) => Response::new_ok(id, answer),
            Err(error) => Response::new_err(id, ErrorCode::InvalidParams as i32, error.to_string()),
        });
    }

    fn code_actions(&self, path: &Path, params: &CodeActionParams) -> Value {
        let wants = |kind: &CodeActionKind| "quickfix".starts_with(kind.as_str());
        if !self.abilities.action_literals || params.context.only.as_ref().is_some_and(|kinds| !kinds.iter().any(wants)) {
            return json!([]);
        }
        self.with_shown(path, |shown, named| {
            let touched = named.filter(|named| shown.range(named.finding.place).is_some_and(|range| action::touches(range, params.range)));
            let version = |uri: &Url| self.documents.values().find(|document| document.uri == *uri).map(|document| document.version);
            let actions: Vec<CodeActionOrCommand> = touched.flat_map(|named| action::actions(shown, named, &version)).collect();
            serde_json::to_value(actions).unwrap_or_default()
        })
        .unwrap_or_else(|| json!([]))
    }

    fn hover(&self, path: &Path, params: &HoverParams) -> Value {
        let at = params.text_document_position_params.position;
        self.with_shown(path, |shown, named| {
            let range = Range { start: at, end: at };
            let touched: Vec<&Named> =
                named.filter(|named| shown.range(named.finding.place).is_some_and(|found| action::touches(found, range))).collect();
            let hover = hover::hover(shown, &touched, &|rule| self.finder.page_text(rule));
            hover.and_then(|hover| serde_json::to_value(hover).ok()).unwrap_or_default()
        })
        .unwrap_or_default()
    }

    /// Hands over the findings in a file.
    fn with_shown<T>(&self, path: &Path, give: impl FnOnce(&Shown<'_>, &mut dyn Iterator<Item = &Named>) -> T) -> Option<T> {
        let folder = self.folders.get(self.folder_of(path)?)?;
        let file = *folder.analysis.files.iter().find(|(_, file)| file.path == path)?.0;
        let uri = |path: &Path| self.documents.get(path).map(|document| document.uri.clone());
        let page = |rule: &str| self.finder.page(rule);
        let shown = Shown { analysis: &folder.analysis, abilities: self.abilities, uri: &uri, page: &page };
        Some(give(&shown, &mut folder.analysis.findings.iter().filter(|named| named.finding.place.file == file)))
    }

    fn notification(&mut self, notification: Notification) {
        // What cannot be read asks for nothing.
        let _ = match notification.method.as_str() {
            DidOpenTextDocument::METHOD => params(notification).map(|params| self.open(params)),
            DidChangeTextDocument::METHOD => params(notification).map(|params| self.change(params)),
            DidCloseTextDocument::METHOD => params(notification).map(|params| self.close(&params)),
            DidSaveTextDocument::METHOD => {
                params(notification).map(|params: DidSaveTextDocumentParams| self.files_changed([&params.text_document.uri]))
            }
            DidChangeWatchedFiles::METHOD => params(notification)
                .map(|params: DidChangeWatchedFilesParams| self.files_changed(params.changes.iter().map(|change| &change.uri))),
            DidChangeWorkspaceFolders::METHOD => params(notification).map(|params| self.change_folders(params)),
            Cancel::METHOD => params(notification).map(|params| self.cancel_parked(&params)),
            _ => Some(()),
        };
    }

    fn open(&mut self, params: DidOpenTextDocumentParams) {
        let TextDocumentItem { uri, version, text, .. } = params.text_document;
        let Ok(path) = uri.to_file_path() else { return };
        let path = self.finder.canonical(&path);
        let document = Document { uri, path: path.clone(), version, text: Arc::new(text) };
        self.documents.insert(path.clone(), document);
        if self.folder_of(&path).is_none()
            && let Some(home) = self.finder.home(&path)
        {
            self.folders.entry(home).or_default();
        }
        self.order_for(&path, Reread::No);
    }

    fn change(&mut self, params: DidChangeTextDocumentParams) {
        let uri = &params.text_document.uri;
        let Some(document) = self.documents.values_mut().find(|document| document.uri == *uri) else { return };
        document.change(params.text_document.version, params.content_changes, self.abilities.encoding);
        let path = document.path.clone();
        self.order_for(&path, Reread::No);
    }

    fn close(&mut self, params: &DidCloseTextDocumentParams) {
        let uri = &params.text_document.uri;
        let Some(path) = self.documents.values().find(|document| document.uri == *uri).map(|document| document.path.clone()) else {
            return;
        };
        self.documents.remove(&path);
        if let Some(published) = self.published.get_mut(&path) {
            published.version = None;
        }
        self.order_for(&path, Reread::Yes);
    }

    fn files_changed<'u>(&mut self, uris: impl IntoIterator<Item = &'u Url>) {
        let paths = uris.into_iter().filter_map(|uri| uri.to_file_path().ok());
        let mut folders: Vec<PathBuf> = paths.filter_map(|path| self.folder_of(&self.finder.canonical(&path)).cloned()).collect();
        folders.dedup();
        for folder in folders {
            self.order(&folder, Reread::Yes);
        }
    }

    fn change_folders(&mut self, params: DidChangeWorkspaceFoldersParams) {
        for removed in params.event.removed {
            let Ok(path) = removed.uri.to_file_path() else { continue };
            let folder = self.finder.canonical(&path);
            if let Some(gone) = self.folders.remove(&folder) {
                self.end_progress(gone.token);
                self.publish(&folder, BTreeMap::new());
            }
        }
        for added in params.event.added {
            self.add_folder(&added.uri);
        }
    }

    fn cancel_parked(&mut self, params: &CancelParams) {
        let id = match &params.id {
            NumberOrString::Number(number) => RequestId::from(*number),
            NumberOrString::String(text) => RequestId::from(text.clone()),
        };
        // What was answered already cannot be taken back.
        if let Some(index) = self.parked.iter().position(|request| request.id == id) {
            self.parked.remove(index);
            self.cancel(id);
        }
    }

    fn cancel(&mut self, id: RequestId) {
        self.client.respond(Response::new_err(id, ErrorCode::RequestCanceled as i32, "cancelled".to_owned()));
    }

    /// The innermost folder of ours that holds `path`.
    fn folder_of(&self, path: &Path) -> Option<&PathBuf> {
        self.folders.keys().filter(|folder| path.starts_with(folder)).max_by_key(|folder| folder.as_os_str().len())
    }

    fn order_for(&mut self, path: &Path, reread: Reread) {
        if let Some(folder) = self.folder_of(path).cloned() {
            self.order(&folder, reread);
        }
    }

    /// Has the folder analysed with the texts as they are now.
    fn order(&mut self, folder: &Path, reread: Reread) {
        self.orders += 1;
        let number = self.orders;
        let texts = self.documents.values().filter(|document| self.folder_of(&document.path).is_some_and(|of| of == folder));
        let open = texts.map(|document| (document.path.clone(), Arc::clone(&document.text))).collect();
        let order = Order { folder: folder.to_path_buf(), job: Job { open, reread: reread == Reread::Yes }, number };
        let Some(known) = self.folders.get_mut(folder) else { return };
        known.ordered = number;
        if known.done == 0 && known.token.is_none() && self.abilities.progress {
            let token = NumberOrString::String(format!("racefree-{number}"));
            known.token = Some(token.clone());
            self.client.request::<WorkDoneProgressCreate>(WorkDoneProgressCreateParams { token: token.clone() });
            let begin = WorkDoneProgressBegin {
                title: "Racefree".to_owned(),
                message: Some("reading the program".to_owned()),
                ..WorkDoneProgressBegin::default()
            };
            self.progress(token, WorkDoneProgress::Begin(begin));
        }
        self.worker.order(order);
    }

    fn progress(&mut self, token: ProgressToken, progress: WorkDoneProgress) {
        self.client.notify::<Progress>(ProgressParams { token, value: ProgressParamsValue::WorkDone(progress) });
    }

    fn end_progress(&mut self, token: Option<ProgressToken>) {
        if let Some(token) = token {
            self.progress(token, WorkDoneProgress::End(WorkDoneProgressEnd::default()));
        }
    }

    /// The analysis has come to an end. Where a newer one is under way, this one is out of date, and nobody hears of it.
    fn finish(&mut self, done: Done) {
        let Some(folder) = self.folders.get_mut(&done.folder) else { return };
        if done.number < folder.ordered {
            return;
        }
        folder.done = done.number;
        let token = folder.token.take();
        match done.outcome {
            Ok(analysis) => {
                folder.trouble.clear();
                folder.analysis = Arc::clone(&analysis);
                let uri = |path: &Path| self.documents.get(path).map(|document| document.uri.clone());
                let page = |rule: &str| self.finder.page(rule);
                let shown = Shown { analysis: &analysis, abilities: self.abilities, uri: &uri, page: &page };
                let diagnostics = shown.diagnostics();
                self.publish(&done.folder, diagnostics);
            }
            // The last findings stay: they are the best that is known.
            Err(trouble) if trouble != folder.trouble => {
                folder.trouble.clone_from(&trouble);
                self.client.say(format!("Racefree: {trouble}"));
            }
            Err(_) => {}
        }
        self.end_progress(token);
        for request in std::mem::take(&mut self.parked) {
            self.guarded(Message::Request(request));
        }
    }

    /// Tells the client what is new: of each file whose findings changed, and of each open document that did.
    fn publish(&mut self, folder: &Path, mut diagnostics: BTreeMap<PathBuf, Vec<Diagnostic>>) {
        let of_folder = |path: &&PathBuf| self.folder_of(path).is_none_or(|of| of == folder);
        let told: Vec<PathBuf> = self.published.keys().chain(self.documents.keys()).filter(of_folder).cloned().collect();
        for path in told {
            diagnostics.entry(path).or_default();
        }
        for (path, diagnostics) in diagnostics {
            let document = self.documents.get(&path);
            let version = document.map(|document| document.version);
            let uri = document.map(|document| document.uri.clone()).or_else(|| Url::from_file_path(&path).ok());
            let before = self.published.entry(path.clone()).or_default();
            let is_new = before.diagnostics != diagnostics || (version.is_some() && before.version != version);
            let is_empty = diagnostics.is_empty();
            if let (true, Some(uri)) = (is_new, uri) {
                *before = Published { version, diagnostics: diagnostics.clone() };
                self.client.notify::<PublishDiagnostics>(PublishDiagnosticsParams { uri, diagnostics, version });
            }
            if is_empty && version.is_none() {
                self.published.remove(&path);
            }
        }
    }
}

/// Whether files may have changed on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reread {
    Yes,
    No,
}

fn params<P: serde::de::DeserializeOwned>(notification: Notification) -> Option<P> {
    serde_json::from_value(notification.params).ok()
}
