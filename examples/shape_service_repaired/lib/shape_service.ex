defmodule ShapeService do
  @moduledoc """
  Keeps live copies of subsets ("shapes") of an in-memory source of rows, and streams their changes.

      {:ok, source} = ShapeService.Source.start_link(["projects", "tasks"])
      {:ok, _} = ShapeService.start_link(service: "demo", source: source, dir: "tmp/demo")

  See `ShapeService.Api` for what a client can ask.
  """

  use Supervisor

  alias ShapeService.{Directory, Router, ShapeCache, StatusMonitor, TableOwner}

  @type service :: String.t()
  @type handle :: String.t()
  @type lsn :: non_neg_integer()
  @type offset :: {lsn(), non_neg_integer()}
  @type change :: {:insert | :update | :delete, String.t(), term(), map()}
  @type txn :: {lsn(), [change()]}

  @spec start_link(keyword()) :: Supervisor.on_start()
  def start_link(opts) do
    Supervisor.start_link(__MODULE__, Map.new(opts))
  end

  @impl Supervisor
  def init(%{service: service, source: source, dir: dir} = opts) do
    config = %{service: service, source: source, dir: dir, flush_ms: opts[:flush_ms] || 1_000}

    children = [
      {Registry, keys: :unique, name: Directory.processes(service)},
      Supervisor.child_spec({Registry, keys: :duplicate, name: Directory.clients(service)},
        id: :clients
      ),
      {TableOwner, config},
      {StatusMonitor, config},
      {Router, config},
      {Router.Batcher, config},
      {DynamicSupervisor, name: Directory.via(service, :consumers), strategy: :one_for_one},
      {Task.Supervisor, name: Directory.via(service, :cleanup)},
      {ShapeCache, config}
    ]

    Supervisor.init(children, strategy: :rest_for_one)
  end
end
