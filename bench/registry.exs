# The registry beside what else does the same work: medians, p99, ratios, and whether each bar is met.
#
#     mix run bench/registry.exs [--quick] [--only lookup,register,…]
#
# The contenders of a row take turns in short batches, so that what else the machine does falls on all of them: on a busy
# machine the ratios hold, the times do not. Nothing is decided here; a person reads it. With RACEFREE_BENCH_PUBSUB set to a
# folder with the sources of phoenix_pubsub, that takes part in the broadcast.
#
# Left out: what needs a cluster.

Code.require_file("support/measure.exs", __DIR__)

defmodule Bench.Server do
  @moduledoc "The server that is asked."
  use GenServer
  def start_link(name), do: GenServer.start_link(__MODULE__, nil, name: name)
  @impl true
  def init(nil), do: {:ok, nil}
  @impl true
  def handle_call(request, _from, state), do: {:reply, request, state}
end

defmodule Bench.Crowd do
  @moduledoc "Many processes that live until told."

  @doc "Starts `count` that each run `enter` with their number first."
  def start(count, enter, loop \\ &__MODULE__.wait/1) do
    parent = self()

    crowd =
      for n <- 1..count do
        spawn(fn ->
          enter.(n)
          send(parent, {:entered, self()})
          loop.(n)
        end)
      end

    for pid <- crowd, do: receive(do: ({:entered, ^pid} -> :ok))
    crowd
  end

  def wait(_n), do: receive(do: (:stop -> :ok))

  @doc "Ends them; returns when the last `:DOWN` is here."
  def stop(crowd) do
    refs = for pid <- crowd, do: Process.monitor(pid)
    for pid <- crowd, do: Process.exit(pid, :kill)
    for ref <- refs, do: receive(do: ({:DOWN, ^ref, :process, _pid, _reason} -> :ok))
    :ok
  end
end

defmodule Bench.Rows do
  @moduledoc "The rows: each gives `{unit, %{contender => samples}}`, or numbers that are counted and not timed."

  import Racefree.Bench.Measure, only: [batch: 2, batch: 3]

  alias Bench.{Crowd, Server}
  alias Racefree.Bench.Measure

  @reg Bench.Racefree
  @elixir Bench.Elixir
  @many Bench.ElixirMany
  @table Bench.Table
  @groups Bench.Groups

  def start do
    {:ok, _} = Racefree.Registry.start_link(name: @reg)
    {:ok, _} = Registry.start_link(keys: :unique, name: @elixir)
    {:ok, _} = Registry.start_link(keys: :duplicate, name: @many)
    {:ok, _} = :pg.start_link(@groups)
    :ets.new(@table, [:named_table, :public, :set, read_concurrency: true])
    :ok
  end

  def lookup(size) do
    keys = size.keys

    crowd =
      Crowd.start(keys, fn n ->
        :ok = Racefree.Registry.register(@reg, {:room, n}, n)
        {:ok, _} = Registry.register(@elixir, {:room, n}, n)
        :ok = :pg.join(@groups, {:room, n}, self())
        :ets.insert(@table, {{:room, n}, self(), n})
      end)

    samples =
      in_turns(
        [
          racefree:
            batch(size.batch, fn n ->
              {:ok, _, _} = Racefree.Registry.lookup(@reg, {:room, rem(n, keys) + 1})
            end),
          registry:
            batch(size.batch, fn n ->
              [_] = Registry.lookup(@elixir, {:room, rem(n, keys) + 1})
            end),
          pg:
            batch(size.batch, fn n ->
              [_] = :pg.get_members(@groups, {:room, rem(n, keys) + 1})
            end),
          ets_and_alive:
            batch(size.batch, fn n ->
              [{_, pid, _}] = :ets.lookup(@table, {:room, rem(n, keys) + 1})
              true = Process.alive?(pid)
            end)
        ],
        size.rounds
      )

    Crowd.stop(crowd)
    samples
  end

  def register(size) do
    in_turns(
      [
        racefree:
          batch(size.batch, fn n ->
            :ok = Racefree.Registry.register(@reg, {:own, n})
            :ok = Racefree.Registry.unregister(@reg, {:own, n})
          end),
        registry:
          batch(size.batch, fn n ->
            {:ok, _} = Registry.register(@elixir, {:own, n}, nil)
            :ok = Registry.unregister(@elixir, {:own, n})
          end),
        pg:
          batch(div(size.batch, 4), fn n ->
            :ok = :pg.join(@groups, {:own, n}, self())
            :ok = :pg.leave(@groups, {:own, n}, self())
          end),
        ets:
          batch(size.batch, fn n ->
            true = :ets.insert_new(@table, {{:own, n}, self()})
            true = :ets.delete(@table, {:own, n})
          end)
      ],
      size.rounds
    )
  end

  def subscribe(size) do
    {:ok, server} = Server.start_link({:via, Racefree.Registry, {@reg, :server}})

    samples =
      in_turns(
        [
          racefree:
            batch(
              size.batch,
              fn _ ->
                {:ok, subscription} = Racefree.Registry.subscribe(@reg, :server)
                Process.put(:subscriptions, [subscription | Process.get(:subscriptions, [])])
              end,
              &unsubscribe/0
            ),
          subscribe_and_unsubscribe:
            batch(size.batch, fn _ ->
              {:ok, subscription} = Racefree.Registry.subscribe(@reg, :server)
              Racefree.Registry.unsubscribe(subscription)
            end),
          call_monitored:
            batch(
              size.batch,
              fn _ ->
                {:ok, :hello, subscription} =
                  Racefree.Registry.call_monitored(@reg, :server, :hello)

                Process.put(:subscriptions, [subscription | Process.get(:subscriptions, [])])
              end,
              &unsubscribe/0
            ),
          genserver_call: batch(size.batch, fn _ -> GenServer.call(server, :hello) end),
          monitor_and_call:
            batch(size.batch, fn _ ->
              ref = Process.monitor(server)
              GenServer.call(server, :hello)
              Process.demonitor(ref, [:flush])
            end)
        ],
        size.rounds
      )

    GenServer.stop(server)
    samples
  end

  defp unsubscribe,
    do:
      for(
        subscription <- Process.delete(:subscriptions),
        do: Racefree.Registry.unsubscribe(subscription)
      )

  # Of so many tries, how many times a process was found whose `:DOWN` had been received. Not timed.
  def dead_found(size) do
    tries = size.deaths_seen

    count = fn enter, find ->
      Enum.count(1..tries, fn n ->
        [pid] = Crowd.start(1, fn _ -> enter.(n) end)
        :ok = Crowd.stop([pid])
        find.(n) == pid
      end)
    end

    %{
      racefree:
        count.(&Racefree.Registry.register(@reg, {:dead, &1}), fn n ->
          with {:ok, pid, _} <- Racefree.Registry.lookup(@reg, {:dead, n}), do: pid
        end),
      registry:
        count.(&Registry.register(@elixir, {:dead, &1}, nil), fn n ->
          with [{pid, _}] <- Registry.lookup(@elixir, {:dead, n}), do: pid
        end),
      registry_duplicate:
        count.(&Registry.register(@many, {:dead, &1}, nil), fn n ->
          with [{pid, _}] <- Registry.lookup(@many, {:dead, n}), do: pid
        end),
      pg:
        count.(&:pg.join(@groups, {:dead, &1}, self()), fn n ->
          with [pid] <- :pg.get_members(@groups, {:dead, n}), do: pid
        end)
    }
  end

  # Milliseconds from the last `:DOWN` until the registry is empty again.
  def deaths(size) do
    clean = fn enter, empty? ->
      fn _round ->
        crowd = Crowd.start(size.deaths, enter)
        Crowd.stop(crowd)
        Measure.time(fn -> until(empty?) end)
      end
    end

    in_turns(
      [
        racefree:
          clean.(&Racefree.Registry.register(@reg, {:dies, &1}), fn ->
            match?({:ok, %{keys: 0, pending: 0}}, Racefree.Registry.info(@reg))
          end),
        registry:
          clean.(&Registry.register(@elixir, {:dies, &1}, nil), fn ->
            Registry.count(@elixir) == 0
          end)
      ],
      size.slow_rounds
    )
  end

  defp until(condition), do: if(condition.(), do: :ok, else: until(condition))

  # Nanoseconds for each subscriber.
  def broadcast(size) do
    count = size.subscribers
    [holder] = Crowd.start(1, fn _ -> Racefree.Registry.register(@reg, :news) end)
    pubsub = start_pubsub()
    heard = :counters.new(1, [:write_concurrency])

    enter = fn _ ->
      {:ok, _} = Racefree.Registry.subscribe(@reg, :news)
      {:ok, _} = Registry.register(@many, :news, nil)
      :ok = :pg.join(@groups, :news, self())
      if pubsub, do: :ok = apply(Phoenix.PubSub, :subscribe, [pubsub, "news"])
    end

    crowd = Crowd.start(count, enter, fn _ -> hear(heard) end)
    message = {:news, String.duplicate("n", 40)}

    # All have heard it before the next contender's turn.
    each = fn operation ->
      fn _round ->
        :counters.put(heard, 1, 0)
        ns = Measure.time(operation) / count
        until(fn -> :counters.get(heard, 1) >= count end)
        ns
      end
    end

    contenders = [
      racefree:
        each.(fn -> {:ok, ^count} = Racefree.Registry.broadcast(@reg, :news, message) end),
      registry_dispatch:
        each.(fn ->
          Registry.dispatch(@many, :news, fn entries ->
            for {pid, _} <- entries, do: send(pid, message)
          end)
        end),
      pg_and_send:
        each.(fn -> for pid <- :pg.get_members(@groups, :news), do: send(pid, message) end),
      bare_send: each.(fn -> for pid <- crowd, do: send(pid, message) end)
    ]

    pubsub_contender = [
      phoenix_pubsub:
        each.(fn -> apply(Phoenix.PubSub, :broadcast, [pubsub, "news", message]) end)
    ]

    samples =
      in_turns(
        if(pubsub, do: contenders ++ pubsub_contender, else: contenders),
        size.slow_rounds * 5
      )

    Crowd.stop([holder | crowd])
    samples
  end

  defp hear(heard) do
    receive do
      _message ->
        :counters.add(heard, 1, 1)
        hear(heard)
    end
  end

  defp start_pubsub do
    case System.get_env("RACEFREE_BENCH_PUBSUB", "") do
      "" ->
        nil

      folder ->
        {:ok, _modules, _warnings} =
          folder
          |> Path.join("lib/**/*.ex")
          |> Path.wildcard()
          |> Kernel.ParallelCompiler.compile()

        {:ok, _} = :pg.start_link(Phoenix.PubSub)

        {:ok, _} =
          Supervisor.start_link([{Phoenix.PubSub, name: Bench.PubSub}], strategy: :one_for_one)

        Bench.PubSub
    end
  end

  # Nanoseconds for each process asked.
  def multicall(size) do
    servers =
      for n <- 1..size.asked,
          do: Server.start_link({:via, Racefree.Registry, {@reg, {:asked, n}}}) |> elem(1)

    keys = for n <- 1..size.asked, do: {:asked, n}
    requests = for key <- keys, do: {key, :hello}
    each = fn operation -> batch(1, operation) end

    samples =
      in_turns(
        [
          racefree: each.(fn _ -> Racefree.Registry.multicall(@reg, requests, 5_000) end),
          by_hand: each.(fn _ -> by_hand(servers) end),
          calls_in_turn:
            each.(fn _ -> for server <- servers, do: GenServer.call(server, :hello) end)
        ],
        size.slow_rounds * 5
      )

    for server <- servers, do: GenServer.stop(server)
    Map.new(samples, fn {name, samples} -> {name, for(ns <- samples, do: ns / size.asked)} end)
  end

  # As it is written where it is needed: no deadline for the whole, no outcome for those who are not there.
  defp by_hand(servers) do
    refs =
      for server <- servers do
        ref = Process.monitor(server)
        send(server, {:"$gen_call", {self(), ref}, :hello})
        ref
      end

    for ref <- refs do
      receive do
        {^ref, reply} -> Process.demonitor(ref, [:flush]) && reply
        {:DOWN, ^ref, :process, _pid, reason} -> reason
      end
    end
  end

  # Bytes of the machine's memory for each of many keys that one process holds.
  def idle_keys(size) do
    before = Measure.resident_bytes()

    [holder] =
      Crowd.start(1, fn _ ->
        for n <- 1..size.idle_keys, do: :ok = Racefree.Registry.register(@reg, {:idle, n}, n)
      end)

    bytes = max(Measure.resident_bytes() - before, 0) / size.idle_keys
    Crowd.stop([holder])
    until(fn -> Racefree.Registry.count(@reg) == {:ok, 0} end)
    %{racefree: bytes}
  end

  # The first rounds warm up.
  defp in_turns(contenders, rounds),
    do: Measure.samples(contenders, rounds: rounds, warm_up: div(rounds, 5) + 1)
end

defmodule Bench.Report do
  @moduledoc "Tables."

  alias Racefree.Bench.Measure

  @bars [
    # row, what it is, unit, divisor, contender, reference, ratio at most
    {:idle_keys, "200,000 idle keys", "bytes each", 1, nil},
    {:lookup, "look-up with liveness", "µs", 1_000, {:racefree, :registry, 0.5}},
    {:register, "register and unregister", "µs", 1_000, {:racefree, :registry, 0.4}},
    {:subscribe, "subscribe and monitor, one step", "µs", 1_000,
     {:racefree, :genserver_call, 1.0}},
    {:dead_found, "dead process found after its :DOWN", "times", 1, nil},
    {:deaths, "clean after the last :DOWN of many deaths", "ms", 1_000_000, nil},
    {:broadcast, "broadcast, each subscriber", "ns", 1, {:racefree, :phoenix_pubsub, 0.7}},
    {:multicall, "multicall, each process", "µs", 1_000, {:racefree, :by_hand, 1.0}}
  ]

  @sizes %{
    full: %{
      keys: 10_000,
      batch: 2_000,
      rounds: 100,
      slow_rounds: 5,
      deaths_seen: 20_000,
      deaths: 50_000,
      subscribers: 10_000,
      asked: 1_000,
      idle_keys: 200_000
    },
    quick: %{
      keys: 10,
      batch: 10,
      rounds: 5,
      slow_rounds: 2,
      deaths_seen: 10,
      deaths: 20,
      subscribers: 10,
      asked: 10,
      idle_keys: 100
    }
  }

  def main(arguments) do
    {options, []} = OptionParser.parse!(arguments, strict: [quick: :boolean, only: :string])
    size = if options[:quick], do: @sizes.quick, else: @sizes.full

    only =
      for row <- String.split(options[:only] || "", ",", trim: true),
          do: String.to_existing_atom(row)

    Bench.Rows.start()
    Measure.print_title("The registry beside what else does the same work")

    for {row, title, unit, divisor, bar} <- @bars, only == [] or row in only do
      samples = apply(Bench.Rows, row, [size])
      IO.puts("\n#{title} (#{unit})")

      for {name, values} <- Enum.sort_by(samples, &middle/1),
          do: IO.puts(line(name, values, divisor))

      IO.puts(verdict(row, samples, bar))
    end
  end

  defp middle({_name, values}) when is_list(values), do: Measure.median(values)
  defp middle({_name, value}), do: value

  defp line(name, values, divisor) when is_list(values) do
    [median, p99] =
      for value <- [Measure.median(values), Measure.percentile(values, 99)],
          do: number(value / divisor)

    "  #{String.pad_trailing(to_string(name), 28)} median #{median}  p99 #{p99}"
  end

  defp line(name, value, divisor),
    do: "  #{String.pad_trailing(to_string(name), 28)} #{number(value / divisor)}"

  defp number(value),
    do:
      value
      |> :erlang.float_to_binary(decimals: if(value < 100, do: 3, else: 0))
      |> String.pad_leading(9)

  defp verdict(:dead_found, %{racefree: found}, nil), do: bar("0 times", "#{found}", found == 0)

  defp verdict(:deaths, %{racefree: samples}, nil) do
    ms = Measure.median(samples) / 1_000_000
    bar("50 ms", "#{number(ms)} ms", ms <= 50)
  end

  defp verdict(:idle_keys, %{racefree: bytes}, nil),
    do: bar("500 bytes", "#{number(bytes)} bytes", bytes <= 500)

  defp verdict(_row, samples, {name, reference, most}) do
    case samples do
      %{^name => own, ^reference => other} ->
        ratio = Measure.median(own) / Measure.median(other)
        bar("#{most} of #{reference}", number(ratio), ratio <= most)

      _not_here ->
        "  bar: #{most} of #{reference}, which did not take part"
    end
  end

  defp bar(most, found, true), do: "  bar: at most #{most}, is #{String.trim(found)}: met"
  defp bar(most, found, false), do: "  bar: at most #{most}, is #{String.trim(found)}: NOT met"
end

Bench.Report.main(System.argv())
