defmodule Racefree.Registry.MigrationTest do
  @moduledoc """
  The code of `guides/migration.md`, compiled and run with a disturbance at each step: what stands under *before* loses at
  some of them, what stands under *after* at none.
  """

  use ExUnit.Case, async: false

  alias Racefree.{KeyHolder, Stepped, Together}

  @page Path.expand("../../../guides/migration.md", __DIR__)
  @external_resource @page
  @block ~r/<!-- (before|after) (\w+) -->\n```elixir\n(.*?)```/s
  @moduletag :capture_log

  # Compiled once; the names in the page are nested in a module of their own for each block.
  setup_all do
    # The twins are made from what the compiler leaves for debuggers.
    former = Code.get_compiler_option(:debug_info)
    Code.put_compiler_option(:debug_info, true)
    on_exit(fn -> Code.put_compiler_option(:debug_info, former) end)

    blocks =
      for [_all, half, section, code] <- Regex.scan(@block, File.read!(@page)) do
        parent = "#{inspect(__MODULE__)}.#{String.capitalize(section)}.#{String.capitalize(half)}"
        compiled = Code.compile_string("defmodule #{parent} do\n#{code}\nend", @page)

        twins =
          compiled
          |> List.delete(List.keyfind(compiled, Module.concat([parent]), 0))
          |> Stepped.load_compiled()

        {{section, half},
         Map.new(twins, fn {module, twin} -> {module |> Module.split() |> List.last(), twin} end)}
      end

    {:ok, blocks: Map.new(blocks)}
  end

  test "every block is under test", %{blocks: blocks} do
    page = File.read!(@page)
    assert length(String.split(page, "```elixir")) - 1 == map_size(blocks)
    sections = for {section, half} <- Map.keys(blocks), half == "before", do: section
    assert Enum.sort(sections) == ~w(registry removal shutdown startup table whereis)
    for section <- sections, do: assert(Map.has_key?(blocks, {section, "after"}))
  end

  for rule <-
        ~w(nil_pid_call monitor_after_subscribe repeated_lookup nil_in_broadcast uncaught_call_to_monitored) do
    test "the page of #{rule} and the guide point to each other" do
      assert File.read!(@page) =~ "`#{unquote(rule)}`"

      assert File.read!(Path.expand("../../../priv/rules/#{unquote(rule)}.md", __DIR__)) =~
               "guides/migration.md"
    end
  end

  describe "startup" do
    test "before: the source ends between two steps", %{blocks: blocks} do
      start_supervised!({Registry, keys: :unique, name: MyApp.Sources})

      assert lost(
               attach(blocks[{"startup", "before"}], fn -> Registry.count(MyApp.Sources) == 0 end)
             ) > 0
    end

    test "after: it may end at any", %{blocks: blocks} do
      start_supervised!({Racefree.Registry, name: MyApp.Sources})
      assert lost(attach(blocks[{"startup", "after"}], fn -> true end)) == 0
    end

    defp attach(%{"Source" => source, "View" => view}, gone?) do
      outcomes(fn hold, n ->
        {:ok, pid} = source.start({:source, n})

        ends = fn _point ->
          KeyHolder.finish_all([pid], {:signal, {:shutdown, :suspend}}) && until(gone?)
        end

        outcome =
          case hold.(fn -> view.attach({:source, n}) end, ends) do
            # It hears why, or it has an error.
            {:ok, ref} ->
              KeyHolder.finish_all([pid], {:signal, {:shutdown, :suspend}})

              receive(
                do:
                  ({:DOWN, ^ref, :process, _pid, reason} ->
                     if(reason == {:shutdown, :suspend}, do: :kept, else: {:lost, reason}))
              )

            {:error, _reason} ->
              :kept
          end

        KeyHolder.finish_all([pid])
        outcome
      end)
    end
  end

  describe "removal" do
    setup do
      :ets.new(:keys, [:named_table, :public])
      :ok
    end

    test "before: a key is removed while an event is on its way", %{blocks: blocks} do
      start_supervised!({Registry, keys: :unique, name: MyApp.Consumers})

      assert lost(
               publish(
                 blocks[{"removal", "before"}],
                 &GenServer.whereis({:via, Registry, {MyApp.Consumers, &1}})
               )
             ) > 0
    end

    test "after: the others get it, and the removed key stays removed", %{blocks: blocks} do
      start_supervised!({Racefree.Registry, name: MyApp.Consumers})

      assert lost(
               publish(
                 blocks[{"removal", "after"}],
                 &GenServer.whereis({:via, Racefree.Registry, {MyApp.Consumers, &1}})
               )
             ) == 0
    end

    defp publish(%{"Router" => router, "Cleaner" => cleaner}, whereis) do
      outcomes(fn hold, n ->
        keys = for m <- 1..3, do: {n, m}
        for key <- keys, do: :ets.insert(:keys, {key})

        hold.(fn -> router.publish(keys, :event) end, fn _point ->
          Together.run([fn -> cleaner.remove({n, 2}) end])
        end)

        left = whereis.({n, 2})
        removed_and_running = :ets.lookup(:keys, {n, 2}) == [] and left != nil
        KeyHolder.finish_all(for key <- keys, pid = whereis.(key), do: pid)
        if removed_and_running, do: {:lost, :runs_though_removed}, else: :kept
      end)
    end
  end

  describe "shutdown" do
    test "before: a view that ends during a call makes the stop a crash", %{blocks: blocks} do
      start_supervised!({Registry, keys: :unique, name: MyApp.Views})
      register = fn key -> {:ok, _} = Registry.register(MyApp.Views, key, nil) end
      refute match?({:shutdown, :view_gone}, ends(blocks[{"shutdown", "before"}], register))
    end

    test "after: the stop is a stop", %{blocks: blocks} do
      start_supervised!({Racefree.Registry, name: MyApp.Views})
      register = fn key -> :ok = Racefree.Registry.register(MyApp.Views, key) end
      assert ends(blocks[{"shutdown", "after"}], register) == {:shutdown, :view_gone}
    end

    # The view takes the request and ends without an answer.
    defp ends(%{"Consumer" => consumer}, register) do
      view = KeyHolder.start_idle()
      KeyHolder.run(view, fn -> register.(:view) end)
      true = :erlang.suspend_process(view)
      {:ok, pid} = consumer.start(:view)
      ref = Process.monitor(pid)
      GenServer.cast(pid, {:changes, []})
      until(fn -> Process.info(view, :message_queue_len) == {:message_queue_len, 1} end)
      Process.exit(view, :kill)
      receive(do: ({:DOWN, ^ref, :process, ^pid, reason} -> reason))
    end
  end

  describe "registry" do
    test "before: the room ends before it has answered", %{blocks: blocks} do
      start_supervised!({Registry, keys: :unique, name: MyApp.Rooms})

      assert lost(
               say(
                 blocks[{"registry", "before"}]["Room"],
                 &Registry.register(MyApp.Rooms, &1, nil)
               )
             ) > 0
    end

    test "after: the caller is told", %{blocks: blocks} do
      start_supervised!({Racefree.Registry, name: MyApp.Rooms})

      assert lost(
               say(
                 blocks[{"registry", "after"}]["Room"],
                 &Racefree.Registry.register(MyApp.Rooms, &1)
               )
             ) == 0
    end

    defp say(room, register) do
      outcomes(fn hold, n ->
        pid = KeyHolder.start_idle()
        KeyHolder.run(pid, fn -> register.(n) end)

        answer =
          hold.(fn -> room.say(n, "hello") end, fn _point -> KeyHolder.finish_all([pid]) end)

        KeyHolder.finish_all([pid])
        if answer == :ok or match?({:error, _reason}, answer), do: :kept, else: {:lost, answer}
      end)
    end
  end

  describe "whereis" do
    test "before: the process ends between the look-up and the call", %{blocks: blocks} do
      jobs = blocks[{"whereis", "before"}]["Jobs"]
      assert lost(pause(jobs, fn -> Process.register(self(), MyApp.Jobs) end)) > 0
    end

    test "after: the caller is told", %{blocks: blocks} do
      start_supervised!({Racefree.Registry, name: MyApp.Names})
      jobs = blocks[{"whereis", "after"}]["Jobs"]
      assert lost(pause(jobs, fn -> Racefree.Registry.register(MyApp.Names, :jobs) end)) == 0
    end

    defp pause(jobs, register) do
      outcomes(fn hold, _n ->
        pid = KeyHolder.start_idle()
        KeyHolder.run(pid, register)
        answer = hold.(fn -> jobs.pause() end, fn _point -> KeyHolder.finish_all([pid]) end)
        KeyHolder.finish_all([pid])
        if answer == :ok or match?({:error, _reason}, answer), do: :kept, else: {:lost, answer}
      end)
    end
  end

  describe "table" do
    test "before: two callers start two workers", %{blocks: blocks} do
      :ets.new(:workers, [:named_table, :public])
      assert lost(ensure(blocks[{"table", "before"}]["Workers"])) > 0
    end

    test "after: one worker, whoever calls when", %{blocks: blocks} do
      start_supervised!({Racefree.Registry, name: MyApp.Workers})
      assert lost(ensure(blocks[{"table", "after"}]["Workers"])) == 0
    end

    # Another caller comes at each step. It may have to wait for the first one, so that is not waited for.
    defp ensure(workers) do
      outcomes(fn hold, n ->
        start = &KeyHolder.start_idle/0
        test = self()

        another = fn _point ->
          send(test, {:another, Together.start([fn -> workers.ensure(n, start) end])}) &&
            wait_or_done(n)
        end

        own = hold.(fn -> workers.ensure(n, start) end, another)

        [{:value, other}] =
          receive(
            do: ({:another, running} -> Together.await(running)),
            after: (0 -> [{:value, own}])
          )

        KeyHolder.finish_all([own, other])
        if own == other, do: :kept, else: {:lost, {own, other}}
      end)
    end

    # Until the other one is through, or waits for us.
    defp wait_or_done(_n) do
      receive do
        {:another, [{pid, _ref}] = running} ->
          send(self(), {:another, running})
          until(fn -> Process.info(pid, :status) in [nil, {:status, :waiting}] end)
      end
    end
  end

  # What became of the code in each run, one for each point of disturbance.
  defp outcomes(scenario) do
    runs = :ets.new(:runs, [:public])

    Stepped.sweep(fn hold ->
      n = :ets.info(runs, :size)
      [outcome] = Together.run([fn -> scenario.(hold, n) end])
      :ets.insert(runs, {n, outcome})
    end)

    outcomes = for {_n, outcome} <- :ets.tab2list(runs), do: outcome
    assert length(outcomes) > 2
    outcomes
  end

  defp lost(outcomes), do: Enum.count(outcomes, &(&1 != {:value, :kept}))

  defp until(condition), do: if(condition.(), do: :ok, else: until(condition))
end
