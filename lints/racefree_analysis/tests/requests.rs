//! Requests and the callbacks that take them: which server, which clauses, what it replies.

use crate::code::Code;
use racefree_analysis::summary::{Handled, ItemKind};

const SERVER: &str = "
defmodule Server do
  use GenServer
  def get(x), do: GenServer.call(__MODULE__, {:get, x})
  def put(x), do: GenServer.call(Server, {:put, x})
  def ping(server), do: GenServer.call(server, :ping)
  def later(x), do: GenServer.call(__MODULE__, {:later, x})
  def missing, do: GenServer.call(__MODULE__, :missing)
  def note(x), do: GenServer.cast(__MODULE__, {:note, x})
  def init(_), do: {:ok, %{}}
  def handle_call({:get, x}, _from, s), do: {:reply, {:got, x}, s}
  def handle_call({:put, x}, _from, s) do
    if x, do: {:reply, :ok, s}, else: {:reply, {:error, :nothing}, s}
  end
  def handle_call(:ping, _from, s), do: {:reply, :pong, s}
  def handle_call({:later, _}, from, s), do: {:noreply, Map.put(s, :from, from)}
  def handle_cast({:note, _}, s), do: {:noreply, s}
  def handle_info(:tick, s), do: {:noreply, s}
end
defmodule Client do
  def foreign(pid, x), do: GenServer.call(pid, {:get, x})
  def via(x), do: GenServer.call({:via, Registry, {Server, x}}, {:get, x})
  def named(x), do: GenServer.call(name(x), {:get, x})
  def word(pid), do: GenServer.call(pid, :ping)
  def unknown(pid), do: GenServer.call(pid, {:never_handled, 1})
  def tick, do: send(Server, :tick)
  defp name(x), do: {Server, x}
end
";

#[track_caller]
fn handled(code: &Code, function: &str) -> Option<Handled> {
    let items = &code.summary_of(function).items;
    items.iter().find_map(|item| match &item.kind {
        ItemKind::Effect(effect) => Some(effect.handled),
        _ => None,
    })?
}

#[test]
fn reports_the_reply_of_the_clause_that_takes_the_message() {
    let code = Code::new(SERVER);
    assert_eq!(code.returned("Server.get/1"), "{:got, arg(0)}!");
    assert_eq!(code.returned("Server.put/1"), ":ok! | {:error, :nothing}!");
    assert_eq!(code.returned("Server.ping/1"), ":pong!");
    assert_eq!(code.returned("Server.later/1"), "any!");
    assert_eq!(code.returned("Server.missing/0"), "any!");
}

#[test]
fn reports_the_server_that_the_target_names() {
    let code = Code::new(SERVER);
    let server = code.module_id("Server");
    for (function, clauses) in [("Server.get/1", 0b1), ("Server.put/1", 0b10), ("Client.via/1", 0b1), ("Client.named/1", 0b1)] {
        let handled = handled(&code, function).unwrap();
        assert_eq!((handled.server, handled.proven, handled.clauses), (server, true, clauses), "{function}");
        assert_eq!(handled.callback, Some(code.id("Server.handle_call/3")));
    }
    assert_eq!(handled(&code, "Server.note/1").unwrap().callback, Some(code.id("Server.handle_cast/2")));
    assert_eq!(handled(&code, "Client.tick/0").unwrap().callback, Some(code.id("Server.handle_info/2")));
    let missing = handled(&code, "Server.missing/0").unwrap();
    assert_eq!((missing.server, missing.callback, missing.clauses), (server, None, 0));
}

#[test]
fn reports_the_server_that_the_message_alone_speaks_for_as_likely() {
    let code = Code::new(SERVER);
    let foreign = handled(&code, "Client.foreign/2").unwrap();
    assert_eq!((foreign.server, foreign.proven), (code.module_id("Server"), false));
    let own = handled(&code, "Server.ping/1").unwrap();
    assert_eq!((own.server, own.proven), (code.module_id("Server"), false));
    assert!(handled(&code, "Client.word/1").is_none(), "a plain word is shared by chance");
    assert!(handled(&code, "Client.unknown/1").is_none());
}

#[test]
fn accepts_messages_that_several_servers_take() {
    let both = "use GenServer\n def handle_call({:get, x}, _, s), do: {:reply, x, s}\n def init(_), do: {:ok, 1}";
    let code = Code::new(&format!(
        "defmodule A do\n{both}\nend\ndefmodule B do\n{both}\nend\ndefmodule C do\ndef f(p), do: GenServer.call(p, {{:get, 1}})\nend"
    ));
    assert!(handled(&code, "C.f/1").is_none());
    assert_eq!(code.returned("C.f/1"), "any!");
}

#[test]
fn reports_replies_through_open_clauses_and_helpers() {
    let code = Code::new(
        "defmodule S do
           use GenServer
           def ask(x), do: GenServer.call(S, {:ask, x})
           def init(_), do: {:ok, 1}
           def handle_call(message, _from, s), do: answer(message, s)
           defp answer({:ask, x}, s), do: {:reply, {:answer, x}, s}
         end",
    );
    assert_eq!(code.returned("S.ask/1"), "{:answer, arg(0)}!");
}

#[test]
fn accepts_servers_that_call_themselves() {
    let code = Code::new(
        "defmodule S do
           use GenServer
           def ask, do: GenServer.call(S, :ask)
           def init(_), do: {:ok, 1}
           def handle_call(:ask, _from, s), do: {:reply, ask(), s}
         end",
    );
    assert_eq!(code.clauses("S.ask/0").len(), 1);
}
