defmodule ShapeService.TableOwner do
  @moduledoc "Owns the tables of a service, so that they outlive the processes that fill them."

  use GenServer

  alias ShapeService.{ConsumerRegistry, Directory, ShapeStatus, Storage}

  def start_link(%{service: service} = config) do
    GenServer.start_link(__MODULE__, config, name: Directory.via(service, __MODULE__))
  end

  @impl GenServer
  def init(%{service: service, dir: dir}) do
    ConsumerRegistry.create_table(service)
    ShapeStatus.create_table(service)
    Storage.create_table(service, dir)
    {:ok, service}
  end
end
