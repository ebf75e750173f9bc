//! Which processes run a function.

use crate::code::Code;
use racefree_analysis::Process;
use racefree_models::Role;

const CODE: &str = "
defmodule Server do
  use GenServer
  def ask(x), do: GenServer.call(Server, {:ask, x})
  def init(_), do: {:ok, prepare()}
  def handle_call({:ask, x}, _from, s), do: {:reply, work(x), s}
  def handle_info(:tick, s) do
    Task.async(fn -> job(s) end)
    {:noreply, s}
  end
  def unrelated(x), do: shared(x)
  defp prepare, do: %{}
  defp work(x), do: shared(x)
  defp shared(x), do: send(x, :m)
  defp job(x), do: send(x, :m)
end
defmodule Other do
  use GenServer
  def init(_), do: {:ok, Helper.both(1)}
  def handle_call(:go, _, s), do: {:reply, Helper.both(s), s}
end
defmodule Helper do
  def both(x), do: x
  def nobody(x), do: x
end
";

#[test]
fn reports_callbacks_and_what_they_call_as_the_server() {
    let code = Code::new(CODE);
    let server = Process::Server(code.module_id("Server"));
    for name in ["Server.init/1", "Server.handle_call/3", "Server.prepare/0", "Server.work/1"] {
        assert_eq!(code.processes(code.id(name)), [server], "{name}");
    }
    assert_eq!(code.processes(code.id("Helper.both/1")), [Process::Server(code.module_id("Other"))]);
}

#[test]
fn reports_public_functions_that_nobody_calls_as_any_process() {
    let code = Code::new(CODE);
    for name in ["Server.ask/1", "Server.unrelated/1", "Helper.nobody/1"] {
        assert_eq!(code.processes(code.id(name)), [Process::Any], "{name}");
    }
}

#[test]
fn reports_every_process_that_runs_a_shared_function() {
    let code = Code::new(CODE);
    assert!(code.processes(code.id("Server.shared/1")).contains(&Process::Any));
    assert_eq!(code.processes(code.id("Server.job/1")), [Process::Task]);
}

#[test]
fn accepts_functions_that_one_server_alone_runs() {
    let code = Code::new(CODE);
    let serialised = |a: &str, b: &str| code.serialised(code.id(a), code.id(b));
    assert!(serialised("Server.prepare/0", "Server.work/1"));
    assert!(!serialised("Server.prepare/0", "Helper.both/1"));
    assert!(!serialised("Server.work/1", "Server.shared/1"));
    assert!(!serialised("Helper.nobody/1", "Helper.nobody/1"));
    assert!(!serialised("Server.job/1", "Server.job/1"));
}

#[test]
fn reports_callbacks_by_their_role() {
    let code = Code::new(CODE);
    let server = code.module_id("Server");
    assert!(code.is_server(server) && !code.is_server(code.module_id("Helper")));
    assert_eq!(code.callback(code.id("Server.handle_call/3")).map(|callback| callback.role), Some(Role::Call));
    assert!(code.callback(code.id("Server.ask/1")).is_none());
    assert_eq!(code.with_role(server, Role::Info).collect::<Vec<_>>(), [code.id("Server.handle_info/2")]);
}

#[test]
fn accepts_modules_that_become_servers_by_their_own_macro() {
    let code = Code::new(
        "defmodule Base do
           defmacro __using__(_) do
             quote do
               use GenServer
             end
           end
         end
         defmodule S do
           use Base
           def init(_), do: {:ok, 1}
         end",
    );
    assert!(code.is_server(code.module_id("S")));
    assert_eq!(code.processes(code.id("S.init/1")), [Process::Server(code.module_id("S"))]);
}

#[test]
fn accepts_uses_in_tests_as_no_uses() {
    let code = Code::of_kind("def f(x), do: g(x)\ndef g(x), do: x", true);
    assert_eq!(code.processes(code.id("f/1")), []);
    assert!(code.is_test(code.id("f/1")));
}
