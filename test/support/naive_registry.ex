defmodule Racefree.NaiveRegistry do
  @moduledoc """
  A registry as it is written by hand: a table, a process that monitors, steps one after the other.

  It answers like `Racefree.Registry` and loses every race that there is to lose; where the scheduler might switch
  between a check and what it decides, this one lets it (`yield`). The tests run their laws on it too:
  a law that does not catch this one could not catch anything.
  """

  use GenServer

  def start_link(options),
    do: GenServer.start_link(__MODULE__, options, name: Keyword.fetch!(options, :name))

  def register(reg, key, value \\ nil) do
    case :ets.lookup(reg, key) do
      [{^key, {:live, pid, _value}}] ->
        if Process.alive?(pid),
          do: {:error, {:already_registered, pid}},
          else: insert(reg, key, value)

      [{^key, {:removed, reason}}] ->
        {:error, {:removed, reason}}

      _free ->
        insert(reg, key, value)
    end
  end

  defp insert(reg, key, value) do
    :erlang.yield()
    :ets.insert(reg, {key, {:live, self(), value}})
    GenServer.cast(reg, {:monitor, self(), key})
  end

  def unregister(reg, key) do
    :ets.match_delete(reg, {key, {:live, self(), :_}})
    :ok
  end

  def lookup(reg, key) do
    case :ets.lookup(reg, key) do
      [{^key, {:live, pid, value}}] -> {:ok, pid, value}
      [{^key, {:removed, reason}}] -> {:error, {:removed, reason}}
      [{^key, :starting}] -> {:error, :starting}
      [] -> {:error, :not_found}
    end
  end

  def whereis(reg, key) do
    case lookup(reg, key) do
      {:ok, pid, _value} -> pid
      {:error, _reason} -> nil
    end
  end

  def subscribe(reg, key) do
    GenServer.call(whereis(reg, key), {:subscribe, self()})
    pid = whereis(reg, key)
    ref = Process.monitor(pid)
    :ets.insert(:"#{reg}.subscribers", {key, self(), ref})
    # Waiting for the registry, under every other key, trades one lost race for another.
    if rem(:erlang.phash2(key), 2) == 0, do: :sys.get_state(reg)

    if whereis(reg, key) == pid,
      do: {:ok, %{ref: ref, pid: pid, key: key, registry: reg}},
      else: {:error, :not_found}
  end

  def unsubscribe(%{registry: reg} = subscription) do
    :ets.match_delete(:"#{reg}.subscribers", {subscription.key, self(), subscription.ref})
    Process.demonitor(subscription.ref)
    :ok
  end

  def broadcast(reg, key, message) do
    subscribers = :ets.lookup(:"#{reg}.subscribers", key)
    for {_key, pid, ref} <- subscribers, do: send(pid, {Racefree.Registry, ref, message})
    {:ok, length(subscribers)}
  end

  def call(reg, key, request, timeout \\ 5_000),
    do: {:ok, GenServer.call(whereis(reg, key), request, timeout)}

  def call_monitored(reg, key, request, timeout \\ 5_000) do
    reply = GenServer.call(whereis(reg, key), request, timeout)
    {:ok, subscription} = subscribe(reg, key)
    {:ok, reply, subscription}
  end

  def multicall(reg, requests, deadline_ms) do
    asked =
      for {key, request} <- Map.new(requests) do
        pid = whereis(reg, key)
        ref = make_ref()
        send(pid, {:"$gen_call", {self(), ref}, request})
        {key, ref}
      end

    for {key, ref} <- asked do
      receive do
        {^ref, reply} -> {key, {:ok, reply}}
      after
        deadline_ms -> {key, :timeout}
      end
    end
  end

  def ensure_started(reg, key, starter, _timeout \\ 5_000) do
    case lookup(reg, key) do
      {:ok, pid, _value} ->
        {:ok, pid}

      {:error, :not_found} ->
        {:ok, pid} = starter.()
        :ets.insert(reg, {key, {:live, pid, nil}})
        {:ok, pid}
    end
  end

  def begin_remove(reg, key, reason) do
    :ets.insert(reg, {key, {:removed, reason}})
    {:ok, %{registry: reg, key: key, reason: reason}}
  end

  def finish_remove(%{registry: reg, key: key}) do
    :ets.delete(reg, key)
    :ok
  end

  @impl GenServer
  def init(options) do
    reg = Keyword.fetch!(options, :name)
    :ets.new(reg, [:named_table, :public, :set])
    :ets.new(:"#{reg}.subscribers", [:named_table, :public, :bag])
    {:ok, reg}
  end

  @impl GenServer
  def handle_cast({:monitor, pid, key}, reg) do
    Process.put(Process.monitor(pid), key)
    {:noreply, reg}
  end

  @impl GenServer
  def handle_info({:DOWN, ref, :process, _pid, _reason}, reg) do
    :ets.delete(reg, Process.delete(ref))
    {:noreply, reg}
  end
end
