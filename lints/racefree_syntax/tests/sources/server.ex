defmodule Cache.Server do
  @moduledoc """
  A cache. `def` in a document is no definition:

      def nothing, do: "here"
  """
  use GenServer
  require Logger
  alias Cache.{Entry, Store.Disk, Store.Memory}

  @table :cache
  @defaults [ttl: 1_000, name: __MODULE__]

  defstruct [:table, entries: %{}, "odd key": nil]

  @type t :: %__MODULE__{table: :ets.tid() | nil}

  @spec start_link(keyword) :: GenServer.on_start()
  def start_link(opts \\ []), do: GenServer.start_link(__MODULE__, opts, name: opts[:name] || __MODULE__)

  @impl GenServer
  def init(opts) do
    opts = Keyword.merge(@defaults, opts)
    table = :ets.new(@table, [:named_table, :public, read_concurrency: true])
    {:ok, %__MODULE__{table: table, entries: Map.new(opts, fn {k, v} -> {k, v} end)}, {:continue, :load}}
  end

  @impl GenServer
  def handle_call({:get, key}, {pid, _tag} = from, %{table: table} = state) when is_binary(key) do
    with [{^key, %Entry{value: value} = entry}] <- :ets.lookup(table, key),
         false <- Entry.expired?(entry),
         {:ok, loaded} when loaded != nil <- Disk.load(value) do
      GenServer.reply(from, {:ok, loaded})
      {:noreply, state}
    else
      [] -> {:reply, :error, state}
      true -> {:reply, {:error, :expired}, %{state | entries: Map.delete(state.entries, key)}}
      {:error, %{reason: reason}} when reason in [:enoent, :eacces] -> {:stop, reason, state}
    end
  rescue
    ArgumentError -> {:reply, :error, state}
  end

  def handle_info({:DOWN, ref, :process, pid, reason}, state),
    do: {:noreply, update_in(state.entries, &Map.reject(&1, fn {_, v} -> v == {ref, pid, reason} end))}

  def handle_info(:tick, state) do
    Enum.each(state.entries, fn
      {key, %{at: at}} when at > 10 -> :ets.delete(@table, key)
      {_, nil} -> :ok
    end)

    state.entries
    |> Enum.filter(&match?({_, %{live: true}}, &1))
    |> Enum.map(&elem(&1, 0))
    |> case do
      [] -> Logger.debug("none in #{inspect(state.table)} at #{DateTime.utc_now()}")
      [one | _] = all -> send(self(), {:refresh, one, length(all)})
    end

    receive do
      {:refresh, ^state, count} -> {:noreply, count}
    after
      0 -> {:noreply, state}
    end
  catch
    :exit, {:noproc, _} -> {:noreply, state}
    value -> {:stop, value, state}
  after
    Process.send_after(self(), :tick, @defaults[:ttl])
  end

  defp parse(<<"GET ", rest::binary>>), do: String.split(rest, ~r/\s+/, trim: true)
  defp parse("PUT " <> rest = whole), do: {rest, whole, ~w(a b c)a, 'chars', ?\n, 0x1F, 1.0e3, :"quoted atom"}
  defp parse(_), do: nil

  defimpl Inspect, for: [Cache.Server, Entry] do
    def inspect(%{table: t}, _opts), do: "#Cache<#{inspect(t)}>"
  end

  defmacro __using__(opts) do
    quote bind_quoted: [opts: opts] do
      use GenServer
      @behaviour Cache
      import Cache.Helpers, only: [get: 1]
      def get(key, default \\ nil), do: unquote(opts)[key] || default
    end
  end
end
