defmodule Racefree.Foreigner do
  @moduledoc "What a registry answers when it is given a process of another node."

  alias Racefree.Registry

  @doc "Connects to the node `there` and tries."
  @spec refused(node()) :: map()
  def refused(there) do
    true = Node.connect(there)
    {:ok, owner} = Registry.start_link(name: __MODULE__)
    foreigner = Node.spawn(there, :timer, :sleep, [:infinity])
    true = node(foreigner) == there

    answers = %{
      start: Registry.ensure_started(__MODULE__, :key, fn -> {:ok, foreigner} end),
      name: Registry.register_name({__MODULE__, :key}, foreigner),
      left: Registry.count(__MODULE__),
      messages: self() |> Process.info(:messages) |> elem(1)
    }

    GenServer.stop(owner)
    answers
  end
end
