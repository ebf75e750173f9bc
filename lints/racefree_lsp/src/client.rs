//! What the client can do, and how it is spoken to.

use std::io::{self, Write};

use lsp_server::{Message, Notification, Request, RequestId, Response};
use lsp_types::{ClientCapabilities, MessageType, ShowMessageParams};
use serde::Serialize;

use crate::position::Encoding;

/// What of the protocol's options the client knows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Abilities {
    pub(crate) encoding: Encoding,
    pub(crate) related_information: bool,
    pub(crate) code_description: bool,
    pub(crate) tags: bool,
    pub(crate) data: bool,
    /// Edits that say for which version of a document they are meant.
    pub(crate) document_changes: bool,
    pub(crate) action_literals: bool,
    pub(crate) action_preferred: bool,
    pub(crate) progress: bool,
    pub(crate) watched_files: bool,
    pub(crate) markdown: bool,
}

impl Abilities {
    pub(crate) fn new(capabilities: &ClientCapabilities) -> Self {
        let document = capabilities.text_document.clone().unwrap_or_default();
        let workspace = capabilities.workspace.clone().unwrap_or_default();
        let general = capabilities.general.clone().unwrap_or_default();
        let diagnostics = document.publish_diagnostics.unwrap_or_default();
        let actions = document.code_action.unwrap_or_default();
        let formats = document.hover.and_then(|hover| hover.content_format).unwrap_or_default();
        Self {
            encoding: Encoding::agreed(general.position_encodings.as_deref()),
            related_information: diagnostics.related_information == Some(true),
            code_description: diagnostics.code_description_support == Some(true),
            tags: diagnostics.tag_support.is_some(),
            data: diagnostics.data_support == Some(true),
            document_changes: workspace.workspace_edit.is_some_and(|edit| edit.document_changes == Some(true)),
            action_literals: actions.code_action_literal_support.is_some(),
            action_preferred: actions.is_preferred_support == Some(true),
            progress: capabilities.window.as_ref().is_some_and(|window| window.work_done_progress == Some(true)),
            watched_files: workspace.did_change_watched_files.is_some_and(|watched| watched.dynamic_registration == Some(true)),
            markdown: formats.contains(&lsp_types::MarkupKind::Markdown),
        }
    }
}

/// The way to the client. After a failure to write nobody listens any more; the first one is kept.
pub(crate) struct Client<'w> {
    output: &'w mut dyn Write,
    next_request: i32,
    pub(crate) failure: Option<io::Error>,
}

impl<'w> Client<'w> {
    pub(crate) fn new(output: &'w mut dyn Write) -> Self {
        Self { output, next_request: 1, failure: None }
    }

    fn send(&mut self, message: Message) {
        if self.failure.is_none() {
            self.failure = message.write(&mut self.output).and_then(|()| self.output.flush()).err();
        }
    }

    pub(crate) fn respond(&mut self, response: Response) {
        self.send(Message::Response(response));
    }

    pub(crate) fn notify<N: lsp_types::notification::Notification>(&mut self, params: N::Params) {
        self.send(Message::Notification(Notification::new(N::METHOD.to_owned(), params)));
    }

    /// Nobody waits for the answer.
    pub(crate) fn request<R: lsp_types::request::Request>(&mut self, params: R::Params)
    where
        R::Params: Serialize,
    {
        let id = RequestId::from(self.next_request);
        self.next_request += 1;
        self.send(Message::Request(Request::new(id, R::METHOD.to_owned(), params)));
    }

    /// Tells the person at the editor.
    pub(crate) fn say(&mut self, message: String) {
        self.notify::<lsp_types::notification::ShowMessage>(ShowMessageParams { typ: MessageType::WARNING, message });
    }
}
