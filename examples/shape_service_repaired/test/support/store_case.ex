defmodule ShapeStore.StoreCase do
  @moduledoc "A `ShapeStore` with its source for each test. Chunks are small, and records move from file to file all the time."

  use ExUnit.CaseTemplate

  alias ShapeService.{Shape, Source}

  @chunk_bytes 256
  @small_store [
    wal_bytes_max: 16_384,
    transaction_bytes_max: 65_536,
    record_bytes_max: 16_384,
    memory_bytes_max: 1_048_576,
    block_bytes_max: 1_024
  ]

  using do
    quote do
      import ShapeStore.StoreCase

      alias Racefree.{Log, Store}
      alias ShapeService.{Shape, Source}
      alias ShapeStore.Logs
    end
  end

  setup context do
    name = Module.concat(context.module, "S#{System.unique_integer([:positive])}")
    dir = Path.join(System.tmp_dir!(), "#{name}-#{System.os_time()}")
    on_exit(fn -> File.rm_rf(dir) end)
    {:ok, source} = Source.start_link(["projects", "tasks", "comments"])
    service = %{name: name, source: source, dir: dir, store: ShapeStore.store(name)}
    unless context[:stopped], do: start(service)
    {:ok, service}
  end

  def small_store, do: @small_store

  @doc "Starts the service; it does not end with the test's process but with `stop/1` or `kill/1`."
  def start(%{name: name} = context, options \\ []) do
    options = options ++ [chunk_bytes: @chunk_bytes, store: @small_store]
    {:ok, pid} = ShapeStore.start_link([name: name, source: context.source, dir: context.dir] ++ options)
    Process.unlink(pid)
    on_exit({:service, name}, fn -> if Process.alive?(pid), do: stop(pid) end)
    pid
  end

  def stop(pid), do: Supervisor.stop(pid)

  @doc "The service dies, its parts in random order, and nothing is brought to an end."
  def kill(pid) do
    children = for {_id, child, _type, _modules} <- Supervisor.which_children(pid), do: child
    # The supervisor first, or it would start the others anew.
    victims = [pid | Enum.shuffle(children)]
    refs = Enum.map(victims, &Process.monitor/1)
    for victim <- victims, do: Process.exit(victim, :kill)
    for ref <- refs, do: assert_receive({:DOWN, ^ref, :process, _pid, _reason})
  end

  def projects, do: %Shape{table: "projects"}
  def tasks, do: %Shape{table: "tasks"}
  def project_tasks, do: %Shape{table: "tasks", column: :project, inner: projects()}
  def task_comments, do: %Shape{table: "comments", column: :task, inner: project_tasks()}
end
