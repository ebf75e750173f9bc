defmodule ShapeStore do
  @moduledoc """
  The shape service once more, on `Racefree.Store` and `Racefree.Registry`: what `ShapeService` repairs by hand has no place to
  go wrong here.

      {:ok, source} = ShapeService.Source.start_link(["projects", "tasks"])
      {:ok, _} = ShapeStore.start_link(name: Demo, source: source, dir: "tmp/demo")
      {:ok, handle} = ShapeStore.subscribe(Demo, %ShapeService.Shape{table: "projects"})
      {:ok, chunk} = ShapeStore.read(Demo, handle)
      {:ok, chunk} = ShapeStore.read(Demo, handle, chunk.upto)

  One process, `ShapeStore.Feed`, writes; clients read in their own processes, from the store. `ShapeStore.Logs` says how shapes
  lie in the store.

  Left out on purpose: filters beyond a column of an inner shape, and rows that do not fit into memory.
  """

  use Supervisor

  alias Racefree.Store
  alias ShapeService.Shape
  alias ShapeStore.{Feed, Logs}

  @type name :: module()
  @type error :: {:error, term()}

  @doc """
  Options: `:name`, `:source`, `:dir`; `:chunk_bytes`, the size at which a chunk ends; `:store`, further options of
  `Racefree.Store`; `:logs`, a module in the place of `ShapeStore.Logs`.
  """
  @spec start_link(keyword()) :: Supervisor.on_start()
  def start_link(options), do: Supervisor.start_link(__MODULE__, options)

  @impl Supervisor
  def init(options) do
    name = Keyword.fetch!(options, :name)

    config = %{
      name: name,
      source: Keyword.fetch!(options, :source),
      logs: Keyword.get(options, :logs, Logs),
      chunk_bytes: Keyword.get(options, :chunk_bytes, 65_536)
    }

    # Order: what stands below uses what stands above, and is started anew with it.
    children = [
      {Racefree.Registry, name: registry(name)},
      {Store, [name: store(name), dir: Keyword.fetch!(options, :dir)] ++ Keyword.get(options, :store, [])},
      {Feed, config}
    ]

    Supervisor.init(children, strategy: :rest_for_one)
  end

  @doc "Finds or makes a shape, and what it depends on; returns when its first rows are durable."
  @spec subscribe(name(), Shape.t()) :: {:ok, ShapeService.handle()} | error()
  def subscribe(name, %Shape{} = shape) do
    with {:ok, {:ok, handle, lsn}} <- call(name, {:create, shape}),
         {:ok, _durable} <- await(name, lsn) do
      {:ok, handle}
    else
      {:ok, {:error, _reason} = error} -> error
      {:error, _reason} = error -> error
    end
  end

  @doc """
  The next chunk after an offset that an earlier one gave, or the first.

  The same offset gives the same chunk to everybody and at all times, once it is complete. `{:error, {:trimmed, _}}` says that
  the offset is too old, and the client begins anew; `:not_found` and `:removed`, that there is no such shape.
  """
  @spec read(name(), ShapeService.handle(), ShapeService.offset() | :start) :: {:ok, Logs.chunk()} | error()
  def read(name, handle, from \\ :start), do: Logs.read(store(name), handle, from)

  @doc """
  The caller hears `{Racefree.Store, ref, {:durable, lsn}}` whenever there may be more to read. Who listens first and reads then
  misses nothing.
  """
  @spec listen(name()) :: {:ok, {reference(), term()}} | error()
  def listen(name), do: Store.subscribe_durable(store(name))

  @doc "The rows of several shapes, all as of one transaction."
  @spec views(name(), [ShapeService.handle()]) :: {:ok, ShapeService.lsn(), [Logs.rows()]} | error()
  def views(name, handles), do: Logs.views(store(name), handles)

  @doc "Waits until everything up to and with a transaction can be read."
  @spec await(name(), ShapeService.lsn(), timeout()) :: {:ok, ShapeService.lsn()} | error()
  def await(name, lsn, timeout \\ 5_000), do: Store.await_durable(store(name), lsn, timeout)

  @doc """
  Writes the shape's rows anew at the end of its log, for new clients to begin there, and forgets what was there but for the
  last `keep` chunks. Clients that have got that far notice nothing.
  """
  @spec compact(name(), ShapeService.handle(), non_neg_integer()) :: :ok | error()
  def compact(name, handle, keep \\ 2) do
    with {:ok, {:ok, lsn}} <- call(name, {:compact, handle}),
         # Order: the new rows are durable before the old ones go, or a crash in between would leave neither.
         {:ok, _durable} <- await(name, lsn) do
      Logs.trim(store(name), handle, {lsn, 0}, keep)
    else
      {:ok, {:error, _reason} = error} -> error
      {:error, _reason} = error -> error
    end
  end

  @doc "Removes a shape, and before it those that depend on it."
  @spec remove(name(), ShapeService.handle()) :: :ok | error()
  def remove(name, handle) do
    with {:ok, answer} <- call(name, {:remove, handle}), do: answer
  end

  defp call(name, request), do: Racefree.Registry.call(registry(name), :feed, request)

  @doc false
  @spec store(name()) :: Store.name()
  def store(name), do: Module.concat(name, "Store")

  @doc false
  @spec registry(name()) :: Racefree.Registry.name()
  def registry(name), do: Module.concat(name, "Registry")
end
